"""What training trials as one saves: the same job through the service, each trial alone and in groups.

Both jobs try the same configurations (`random`, one seed) on the same slots, one after the other, in turns; alone, each
slot trains one trial with the threads that suit it best, one a core. Prints one JSON line; `make bench-groups` runs it.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from benchmarks.guide.serving import running_service
from stepsize import Client
from stepsize.client.answers import Trial

_SEARCH: dict[str, JsonValue] = {"learning_rate": {"type": "float", "low": 1e-3, "high": 0.1, "log": True}}


def body(*, fuse: int, n_trials: int, epochs: int, batch_size: int) -> dict[str, JsonValue]:
    """Return the job: an mlp on digits whose learning rate is searched at random."""
    params: dict[str, JsonValue] = {"dataset": "digits", "model": "mlp", "epochs": epochs, "batch_size": batch_size}
    return {
        "name": f"fuse {fuse}",
        "trainer": {"name": "image_classifier", "params": params},
        "search_space": _SEARCH,
        "sampler": {"name": "random", "seed": 0},
        "confirm": False,
        "budget": {"max_trials": n_trials},
        "resources": {"fuse": fuse},
        "keep_artifacts": "none",
    }


def seconds(trials: Sequence[Trial]) -> float:
    """Return the time from the first trial's start to the last one's end."""
    starts = [trial.started_at for trial in trials if trial.started_at is not None]
    ends = [trial.finished_at for trial in trials if trial.finished_at is not None]
    return (max(ends) - min(starts)).total_seconds()


def run(client: Client, *, fuse: int, n_trials: int, epochs: int, batch_size: int) -> list[Trial]:
    """Run a job to its end; return its trials by number."""
    job = client.submit(body(fuse=fuse, n_trials=n_trials, epochs=epochs, batch_size=batch_size))
    client.wait(job.id)
    return sorted(client.trials(job.id), key=lambda trial: trial.number)


def main() -> None:
    """Run the pairs and print what they show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--fuse", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=1)
    options = parser.parse_args()
    shape = {"n_trials": options.trials, "epochs": options.epochs, "batch_size": options.batch_size}
    ratios: list[float] = []
    times: list[tuple[float, float]] = []
    apart = 0.0
    n_fused = 0
    alone_s = 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder) / "service") as url,
        Client(url) as client,
    ):
        run(client, fuse=1, **shape | {"n_trials": 2, "epochs": 1})  # slots are warm from here
        for pair in range(options.pairs):
            order = (1, options.fuse) if pair % 2 == 0 else (options.fuse, 1)
            trials = {fuse: run(client, fuse=fuse, **shape) for fuse in order}
            alone, fused = trials[1], trials[options.fuse]
            times.append((seconds(alone), seconds(fused)))
            ratios.append(times[-1][0] / times[-1][1])
            alone_s = statistics.median(trial.duration_s or 0.0 for trial in alone)
            n_fused = sum(1 for trial in fused if trial.group is not None and trial.group.how == "fused")
            assert [one.params for one in alone] == [one.params for one in fused], "both must try the same"
            apart = max(
                abs(one.values["val_loss"] - other.values["val_loss"]) / abs(one.values["val_loss"])
                for one, other in zip(alone, fused, strict=True)
                if "val_loss" in one.values and "val_loss" in other.values
            )
    found = {
        "alone_s": [round(one, 1) for one, _ in times],
        "fused_s": [round(other, 1) for _, other in times],
        "times_faster": round(statistics.median(ratios), 2),
        "a_trial_alone_s": round(alone_s, 1),
        "n_fused": n_fused,
        "largest_difference_of_val_loss": float(f"{apart:.1e}"),
        **vars(options),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
