"""A slice of the honesty benchmark: what reports claim, beside the dense truth of tasks no constant was chosen on."""

import math
import time

import pytest

from benchmarks.honesty.figures import mean
from benchmarks.honesty.plays import play_all, plays_of
from benchmarks.truth.tasks import TASKS, Role
from benchmarks.truth.valleys import read_landscapes

N_JOBS = 2
SLICE = ("digits-plain-sgd", "mnist-plain-adam", "digits-cnn-plain-sgd", "digits-plain-adam", "wine-plain-sgd")


def lowest_of(share: float, n: int) -> float:
    """Return a share that a true one falls below once in a thousand slices, whole tasks being alike (half the jobs)."""
    return share - 3 * math.sqrt(share * (1 - share) / (n / 2))


@pytest.mark.slow
@pytest.mark.timeout(900)  # it plays for 300 s at most, and a busy machine fits for long after that
def test_what_reports_claim_holds_on_tasks_they_were_not_made_for() -> None:
    tasks = [task for task in TASKS if task.name in SLICE]
    assert len(tasks) == len(SLICE)
    assert all(task.role is Role.REPORTED for task in tasks)
    landscapes = [landscape for task in tasks for landscape in read_landscapes(task)]
    plays = list(plays_of(landscapes, N_JOBS, is_live_too=False))
    scores, claims = play_all(plays, time.monotonic() + 300, n_processes=2)
    assert len(scores) >= 10, "five minutes are enough for one job a landscape"
    covers = [one.rate_covers for one in scores if one.rate_covers is not None]
    rows = [covers for one in scores for covers in one.rows_cover]
    values = [one.value_covers for one in scores if one.value_covers is not None]
    false = [one.claimed for one in claims if not one.differs]
    assert len(covers) > len(scores) / 2, "most jobs have an answer"
    assert mean(covers) >= lowest_of(0.9, len(covers))
    assert mean(rows) >= lowest_of(0.9, len(rows) // len(landscapes[0].valleys))
    assert mean(values) >= lowest_of(0.88, len(values))
    assert mean(false) <= 1 - lowest_of(0.95, len(false))
