"""What a job will cost, as far as earlier trials of its trainer tell."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from stepsize.client import Client
from stepsize.spec.wording import counted

_MOST_JOBS = 5
_MOST_TRIALS = 50


@dataclass(frozen=True)
class Cost:
    """Seconds of a job; null where nothing is known."""

    n_trials: int | None
    n_at_once: int
    """Trials at once: as many as slots are there, or as the job allows."""
    typical_s: float | None
    """Of one trial, the median of earlier ones."""
    longest_s: float | None
    """Nine in ten earlier ones took less."""
    n_known: int

    def __str__(self) -> str:
        if self.n_trials is None or self.typical_s is None or self.longest_s is None:
            return "cost: unknown, no earlier trial of this trainer; submit with budget.max_trials 2 first to learn it"
        rounds = self.n_trials / self.n_at_once
        return (
            f"cost: about {rounds * self.typical_s:.0f} s ({rounds * self.longest_s:.0f} s if all are slow) for "
            f"{counted(self.n_trials, 'trial')}, {self.n_at_once} at once, from "
            f"{counted(self.n_known, 'earlier trial')} of this trainer with whatever parameters they had"
        )


def estimate_cost(client: Client, spec: JsonValue, cells: JsonValue) -> Cost:
    """Return what a resolved spec will cost.

    Args:
        cells: how many a grid has; null: it is none.
    """
    resolved = spec if isinstance(spec, dict) else {}
    budget = resolved.get("budget")
    limits = budget if isinstance(budget, dict) else {}
    counts = [n for n in (limits.get("max_trials"), cells) if isinstance(n, int)]
    most_at_once = limits.get("max_parallel_trials")
    n_slots = sum(len(worker.slots) for worker in client.workers() if worker.alive) or 1
    n_at_once = min(n_slots, most_at_once) if isinstance(most_at_once, int) else n_slots
    trainer = resolved.get("trainer")
    name = trainer.get("name") if isinstance(trainer, dict) else None
    durations = _durations(client, name) if isinstance(name, str) else []
    typical = statistics.median(durations) if durations else None
    return Cost(min(counts, default=None), n_at_once, typical, _nine_in_ten(durations), len(durations))


def _durations(client: Client, trainer: str) -> list[float]:
    found = []
    for job in client.jobs(trainer=trainer, limit=_MOST_JOBS):
        trials = client.trials(job.id, state="completed", limit=_MOST_TRIALS)
        found += [trial.duration_s for trial in trials if trial.duration_s is not None]
    return found


def _nine_in_ten(durations: Sequence[float]) -> float | None:
    ordered = sorted(durations)
    return ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))] if ordered else None
