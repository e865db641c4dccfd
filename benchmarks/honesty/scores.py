"""What one job's answer is worth beside the truth."""

import math
import time
from collections import Counter
from dataclasses import dataclass

from benchmarks.honesty.jobs import Job
from benchmarks.honesty.reading import Interval, read_answer
from benchmarks.truth.valleys import Landscape


@dataclass(frozen=True)
class Score:
    """One job's answer, judged."""

    task: str
    cell: str
    is_live: bool
    words: str
    rate_covers: bool | None
    """Whether the interval of the recommended rate holds the best rate at that batch size; None: no interval."""
    rate_error: float | None
    """Standard error of the true best rate there, in decades."""
    rate_width: float | None
    """Decades."""
    rows_cover: tuple[bool, ...]
    """The same of each row of the table by batch size."""
    row_widths: tuple[float, ...]
    b: Interval | None
    b_covers: bool | None
    b_error: float
    """Standard error of the true b."""
    value_covers: bool | None
    """Whether the promised value's interval holds the mean of fresh seeds at the recommended rate."""
    confirmed_covers: bool | None
    """The same of the interval of the mean that was measured, at the rate where it was."""
    regret: float | None
    """Mean cost at the recommended rate and batch size ÷ the lowest there is."""
    argmin_regret: float
    """The same of the best trial's rate and batch size."""
    chance: float | None
    """To diverge, at the recommended rate."""
    argmin_chance: float
    analysis_s: float
    """Processor time of the report."""


def score(job: Job) -> Score:
    """Judge the answer to a job without choices."""
    began = time.process_time()
    answer = read_answer(job.evidence)
    took = time.process_time() - began
    landscape = job.landscape
    best = landscape.best.best_cost
    luckiest = min(
        (trial for trial in job.trials if trial.value is not None and not trial.checks),
        key=lambda trial: trial.value if landscape.is_loss else -trial.value,  # type: ignore[arg-type, return-value, operator]
    )
    lucky_valley = landscape.valleys[int(luckiest.params["batch_size"])]
    lucky_rate = math.log10(float(luckiest.params["learning_rate"]))
    rows = [
        (interval.holds(landscape.valleys[size].best), interval.width)
        for size, interval in answer.rows.items()
        if size in landscape.valleys
    ]
    told = answer.rate is not None and answer.batch_size is not None
    valley = landscape.valleys[answer.batch_size] if told and answer.batch_size is not None else None
    rate = answer.rate.value if answer.rate else math.nan
    return Score(
        task=landscape.task.name,
        cell=landscape.name,
        is_live=job.is_live,
        words=answer.words,
        rate_covers=answer.rate.holds(valley.best) if valley and answer.rate else None,
        rate_error=valley.best_error if valley else None,
        rate_width=answer.rate.width if answer.rate else None,
        rows_cover=tuple(covers for covers, _ in rows),
        row_widths=tuple(width for _, width in rows),
        b=answer.b,
        b_covers=answer.b.holds(landscape.slope) if answer.b else None,
        b_error=landscape.slope_error,
        value_covers=_holds_value(answer.value, landscape, valley.cost(rate)) if valley else None,
        confirmed_covers=_confirmed_covers(answer.confirmed, job),
        regret=valley.cost(rate) / best if valley else None,
        argmin_regret=lucky_valley.cost(lucky_rate) / best,
        chance=valley.chance(rate) if valley else None,
        argmin_chance=lucky_valley.chance(lucky_rate),
        analysis_s=took,
    )


def _confirmed_covers(told: Interval | None, job: Job) -> bool | None:
    """Judge the measured mean where it was measured: the fit that follows the checks moves the rate."""
    checked = Counter(tuple(sorted(trial.params.items())) for trial in job.trials if trial.checks)
    if told is None or not checked:
        return None
    [(commonest, _)] = checked.most_common(1)
    params = dict(commonest)
    valley = job.landscape.valleys[int(params["batch_size"])]
    return _holds_value(told, job.landscape, valley.cost(math.log10(float(params["learning_rate"]))))


def _holds_value(told: Interval | None, landscape: Landscape, cost: float) -> bool | None:
    return None if told is None else told.holds(cost if landscape.is_loss else 1.0 - cost)
