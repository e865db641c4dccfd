"""Whether searching in groups costs the search anything: the best trial so far, in groups and each drawn freely.

Both run as many trials at once, over the kept trainings of benchmarks/truth; in groups, all of a batch share the batch
size of the first. `make bench-group-search` prints one JSON line: ratios in groups to freely, by number of trials, of
the best value that was seen and of the true cost of the trial that had it (the mean over many seeds, heavy-tailed near
the edge where trainings explode); geometric means over landscapes, with 95 % intervals over them. Each landscape draws
with seeds of its own: with the same ones, all of them would begin with the same batch sizes, good ones or bad.
"""

import argparse
import json
import math
import sys

import numpy as np

from benchmarks.honesty.jobs import Kept, spec_of
from benchmarks.truth.tasks import TASKS
from benchmarks.truth.valleys import Landscape, read_landscapes
from stepsize.domain.seeds import derive_seed
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.space import Scalar
from stepsize_workers.search import Proposal, Search

_DRAWS = 2000


def best_costs(
    landscape: Landscape, *, seed: int, n_trials: int, at_once: int, fused: bool
) -> list[tuple[float, float]]:
    """Return the best value after each batch of trials, and the true cost of the trial that had it."""
    own_seed = derive_seed(seed, landscape.name)
    search = Search("bench", spec_of(landscape, own_seed % 2**31, ()))
    source = Kept(landscape, np.random.default_rng(own_seed))
    seen: list[tuple[float, float]] = []
    waiting: list[int] = []
    found: list[tuple[float, float]] = []
    for start in range(0, n_trials, at_once):
        batch: list[tuple[int, Proposal]] = []
        like: dict[str, Scalar] | None = None
        for number in range(start, start + at_once):
            proposal = search.propose(number, like=like)
            assert proposal is not None, "a continuous space has no end"
            search.open(number, proposal)
            batch.append((number, proposal))
            like = {"batch_size": proposal.params["batch_size"]} if fused else None
        for number, proposal in batch:
            value = source.cost(number, proposal.params)
            if value is None:
                worst = [max(cost for cost, _ in seen)] if seen else None
                search.close(number, TrialState.INFEASIBLE, worst, reason=TrialReason.DIVERGED)
                waiting += [] if worst else [number]
                continue
            search.close(number, TrialState.COMPLETED, [value if landscape.is_loss else 1.0 - value])
            for other in waiting:
                search.close(other, TrialState.INFEASIBLE, [value], reason=TrialReason.DIVERGED)
            waiting = []
            valley = landscape.valleys[int(proposal.params["batch_size"])]
            seen.append((value, valley.cost(math.log10(float(proposal.params["learning_rate"])))))
        found.append(min(seen) if seen else (math.nan, math.nan))
    return found


def main() -> None:
    """Compare, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--at-once", type=int, default=8)
    options = parser.parse_args()
    landscapes = [one for task in TASKS for one in read_landscapes(task) if one.is_loss and len(one.valleys) > 1]
    shape = {"n_trials": options.trials, "at_once": options.at_once}
    logs = np.array(
        [
            [
                np.log(best_costs(one, seed=seed, fused=True, **shape))
                - np.log(best_costs(one, seed=seed, fused=False, **shape))
                for seed in range(options.seeds)
            ]
            for one in landscapes
        ]
    ).mean(axis=1)
    rng = np.random.default_rng(0)
    means = np.array([logs[rng.integers(0, len(logs), len(logs))].mean(axis=0) for _ in range(_DRAWS)])
    of_all = np.exp([logs.mean(axis=0), *np.quantile(means, (0.025, 0.975), axis=0)])  # (3, batches, 2)
    ratios = {
        name: {
            str((index + 1) * options.at_once): of_all[:, index, k].round(3).tolist() for index in range(logs.shape[1])
        }
        for k, name in enumerate(("of_best_value", "of_its_true_cost"))
    }
    found = {"landscapes": len(landscapes), "ratio_low_high": ratios, **vars(options)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
