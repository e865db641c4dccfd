"""Reads the product's own report: the one place that knows its shape. Rates here are log10."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stepsize.analysis.report import make_report
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Evidence


@dataclass(frozen=True)
class Interval:
    """A value and its interval."""

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low

    def holds(self, truth: float) -> bool:
        """Tell whether the truth lies inside."""
        return self.low <= truth <= self.high

    def is_apart_from(self, other: "Interval") -> bool:
        """Tell whether the two have nothing in common."""
        return self.high < other.low or other.high < self.low


@dataclass(frozen=True)
class Answer:
    """What a job's report says."""

    words: str
    rate: Interval | None
    """The recommended one."""
    batch_size: int | None
    value: Interval | None
    """Promised at the recommended rate."""
    confirmed: Interval | None
    """Measured there by the trials that checked the answer."""
    rows: Mapping[int, Interval]
    """Batch size → its best rate."""
    b: Interval | None


def read_answer(evidence: Evidence) -> Answer:
    """Return the answer to a job."""
    report = make_report(evidence)
    answer = report.answer
    rows = {row.batch_size: _log_interval(row.learning_rate) for row in report.by_batch_size.rows}
    return Answer(
        words=answer.words.value,
        rate=_log_interval(answer.learning_rate),
        batch_size=answer.batch_size,
        value=_interval(answer.value),
        confirmed=_interval(answer.confirmed),
        rows={size: interval for size, interval in rows.items() if interval},
        b=_interval(report.scaling_law.b),
    )


def read_improvements(evidence: Evidence) -> dict[str, Interval]:
    """Return choice → how much better it is said to be than the first choice, where that is said."""
    [comparison] = make_report(evidence).comparisons
    rows = {str(row.choice): _interval(row.improvement) for row in comparison.choices[1:]}
    return {choice: interval for choice, interval in rows.items() if interval}


def _interval(estimate: Estimate) -> Interval | None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return Interval(estimate.value, estimate.low, estimate.high)


def _log_interval(estimate: Estimate) -> Interval | None:
    interval = _interval(estimate)
    if interval is None:
        return None
    return Interval(*(math.log10(end) if end > 0 else -math.inf for end in vars(interval).values()))
