"""Trials lost to divergence: Stepsize's search beside stock Optuna TPE told FAIL, PRUNED or the worst, in one run.

Half of the learning-rate axis diverges, the best rate lies one decade or a fifth of one below the edge, and the edge
moves with the batch size. `make bench-infeasible` prints the share of trials 31-60 that diverged, over 20 seeds, and
the paired difference of the best losses found; pure Python valleys, about a minute on one core.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import optuna

from benchmarks.orchestration import print_table
from benchmarks.playing import Params, play
from stepsize.spec.resolved import ResolvedJobSpec

N_SEEDS = 20
N_TRIALS = 60
LOW, HIGH = 1e-6, 10.0
EDGE_AT_32 = 10**-2.5
"""The middle of the axis in decades."""
EDGE_EXPONENT = 0.5
GAPS = (1.0, 0.2)
"""Decades from the best rate up to the edge."""
WORSE_THAN_ALL = 100.0
N_RESAMPLES = 10_000


@dataclass(frozen=True)
class Valley:
    """loss = (decades from the best rate)² + floor below the edge, divergence at and above it."""

    gap: float
    floor: float = 0.01

    def loss(self, learning_rate: float, batch_size: int) -> float | None:
        """Return the loss; None: the trial diverged."""
        edge = EDGE_AT_32 * math.pow(batch_size / 32, EDGE_EXPONENT)
        if learning_rate >= edge:
            return None
        return (math.log10(learning_rate / edge) + self.gap) ** 2 + self.floor


@dataclass(frozen=True)
class Outcome:
    """One search of N_TRIALS trials; a loss of None is a trial that diverged."""

    losses: tuple[float | None, ...]

    @property
    def early_share(self) -> float:
        """Share of the first half that diverged."""
        early = self.losses[: N_TRIALS // 2]
        return sum(loss is None for loss in early) / len(early)

    @property
    def late_share(self) -> float:
        """Share of the second half that diverged."""
        late = self.losses[N_TRIALS // 2 :]
        return sum(loss is None for loss in late) / len(late)

    @property
    def best(self) -> float:
        return min(loss for loss in self.losses if loss is not None)


def run_stepsize(valley: Valley, seed: int, sampler: str = "tpe") -> Outcome:
    """Search as a worker does."""

    def train(number: int, params: Params) -> float | None:
        return valley.loss(float(params["learning_rate"]), int(params["batch_size"]))

    return Outcome(tuple(trial.value for trial in play(spec_of(sampler, seed), train, N_TRIALS)))


Tell = Callable[[optuna.Study, optuna.Trial, Sequence[float]], None]
"""Tells a study of a trial that diverged, given the losses of those that did not."""


def tell_failed(study: optuna.Study, trial: optuna.Trial, losses: Sequence[float]) -> None:
    """Tell what an exception would."""
    study.tell(trial, state=optuna.trial.TrialState.FAIL)


def tell_pruned(study: optuna.Study, trial: optuna.Trial, losses: Sequence[float]) -> None:
    """Tell what a pruner would."""
    study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def tell_worst(study: optuna.Study, trial: optuna.Trial, losses: Sequence[float]) -> None:
    """Tell the worst loss so far; before there is any, one that is worse than all of them will be."""
    study.tell(trial, max(losses, default=WORSE_THAN_ALL))


def run_optuna(valley: Valley, seed: int, tell_diverged: Tell) -> Outcome:
    """Search with stock Optuna."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    losses: list[float | None] = []
    for _ in range(N_TRIALS):
        trial = study.ask()
        loss = valley.loss(trial.suggest_float("learning_rate", LOW, HIGH, log=True), 1 << trial.suggest_int("b", 4, 8))
        if loss is None:
            tell_diverged(study, trial, [known for known in losses if known is not None])
        else:
            study.tell(trial, loss)
        losses.append(loss)
    return Outcome(tuple(losses))


def spec_of(sampler: str, seed: int) -> ResolvedJobSpec:
    return ResolvedJobSpec.model_validate(
        {
            "trainer": {"name": "synthetic", "version": "1"},
            "search_space": {
                "learning_rate": {"type": "float", "low": LOW, "high": HIGH, "log": True},
                "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
            },
            "objectives": [{"metric": "loss", "direction": "minimize"}],
            "sampler": {"name": sampler, "seed": seed},
            "confirm": False,
            "budget": {"max_trials": N_TRIALS},
        }
    )


SEARCHES: dict[str, Callable[[Valley, int], Outcome]] = {
    "stepsize tpe": run_stepsize,
    "optuna tpe, told FAIL": lambda valley, seed: run_optuna(valley, seed, tell_failed),
    "optuna tpe, told PRUNED": lambda valley, seed: run_optuna(valley, seed, tell_pruned),
    "optuna tpe, told the worst": lambda valley, seed: run_optuna(valley, seed, tell_worst),
}


@dataclass(frozen=True)
class Interval:
    """The median of paired differences with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def median_difference(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Return the median of `ours - theirs`, pair by pair."""
    differences = np.subtract(ours, theirs)
    draws = np.random.default_rng(0).integers(0, len(differences), (N_RESAMPLES, len(differences)))
    low, high = np.quantile(np.median(differences[draws], axis=1), [0.025, 0.975])
    return Interval(float(np.median(differences)), float(low), float(high))


def main() -> None:
    """Run every search on every valley and print a table and one JSON line."""
    argparse.ArgumentParser(prog="python -m benchmarks.infeasible", description=__doc__).parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows: list[list[str]] = []
    summary: dict[str, object] = {}
    for gap in GAPS:
        outcomes = {name: [run(Valley(gap), seed) for seed in range(N_SEEDS)] for name, run in SEARCHES.items()}
        shares = {name: float(np.mean([one.late_share for one in found])) for name, found in outcomes.items()}
        ours = [one.best for one in outcomes["stepsize tpe"]]
        for name, found in outcomes.items():
            difference = median_difference(ours, [one.best for one in found])
            rows.append(
                [
                    f"{gap:g}",
                    name,
                    f"{np.mean([one.early_share for one in found]):.3f}",
                    f"{shares[name]:.3f}",
                    f"{np.median([one.best for one in found]):.5f}",
                    f"{difference.value:+.5f} [{difference.low:+.5f}, {difference.high:+.5f}]",
                ]
            )
        better = min(share for name, share in shares.items() if name != "stepsize tpe")
        summary[f"gap_{gap:g}"] = {"shares": shares, "ratio": shares["stepsize tpe"] / better if better else None}
    print_table(
        ("gap, decades", "search", "diverged, 1-30", "31-60", "median best loss", "ours minus this, median"), rows
    )
    print(json.dumps(summary))  # noqa: T201


if __name__ == "__main__":
    main()
