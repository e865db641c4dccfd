"""A job's answer on a terminal: its sentence, what was measured, and a small picture of the valley."""

from collections.abc import Sequence

from stepsize.cli.printing import estimate, number
from stepsize.client import Job, JobAnswer
from stepsize.client.answers import ValleyPoint

_LEVELS = "▁▂▃▄▅▆▇█"
_SHOWN_SHARE = 0.85
"""Of the valley's points, counted from the good end, that lie within the picture's height: a cliff would flatten the
rest."""


def answer_lines(job: Job) -> list[str]:
    """Return the answer, most important first; a range test's and a refit's has no lines."""
    answer = job.answer
    if answer is None:
        return [] if job.kind != "tune" else ["no answer yet"]
    metric = job.objectives[0].metric if job.objectives else "value"
    maximizes = bool(job.objectives) and job.objectives[0].direction == "maximize"
    lines = [answer.sentence, *valley_lines(answer, metric, maximizes=maximizes)]
    if answer.learning_rate.is_guess and answer.learning_rate.caveat:
        lines.append(f"  a guess: {answer.learning_rate.caveat}")
    if answer.confirmed is not None and answer.confirmed.value is not None:
        lines.append(f"  measured there by fresh trainings: {metric} {estimate(answer.confirmed)}")
    elif answer.value is not None and answer.value.value is not None:
        lines.append(f"  promised there, not checked: {metric} {estimate(answer.value)}")
    return [_printable(line) for line in (*lines, *(f"  {caveat}" for caveat in answer.caveats))]


def valley_lines(answer: JobAnswer, metric: str, *, maximizes: bool) -> list[str]:
    """Return the valley as a row of blocks over its rates, with a mark below the recommended one; else no lines."""
    points = [point for point in answer.valley if point.value.value is not None]
    rate = answer.learning_rate.value
    if len(points) < 3 or rate is None:
        return []
    values = [point.value.value or 0.0 for point in points]
    start, end = number(points[0].learning_rate), number(points[-1].learning_rate)
    place = min(range(len(points)), key=lambda at: _ratio(points, at, rate))
    low, high = _shown(values, maximizes=maximizes)
    return [
        f"  {start} {_blocks(values, low, high)} {end}   {metric} from {number(low)} (low) to {number(high)} (high)",
        f"  {' ' * (len(start) + 1 + place)}↑ {number(rate)}",
    ]


def _ratio(points: Sequence[ValleyPoint], at: int, rate: float) -> float:
    """Return how many times one rate is the other."""
    here = points[at].learning_rate
    return max(here / rate, rate / here)


def _shown(values: Sequence[float], *, maximizes: bool) -> tuple[float, float]:
    """Return from where to where the picture reaches: all of the good end, and as far up its walls as most points."""
    ordered = sorted(values, reverse=maximizes)
    far = ordered[round(_SHOWN_SHARE * (len(ordered) - 1))]
    return min(ordered[0], far), max(ordered[0], far)


def _blocks(values: Sequence[float], low: float, high: float) -> str:
    span = (high - low) or 1.0
    heights = [min(1.0, max(0.0, (value - low) / span)) for value in values]
    return "".join(_LEVELS[round(height * (len(_LEVELS) - 1))] for height in heights)


def _printable(line: str) -> str:
    """Names of choices come from users, and could carry terminal escapes."""
    return "".join(character if character.isprintable() else "?" for character in line)
