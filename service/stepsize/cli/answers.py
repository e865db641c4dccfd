"""A job's answer on a terminal: its sentence, what was measured, and a small picture of the valley."""

from stepsize.cli.printing import estimate, number
from stepsize.client import Job, JobAnswer
from stepsize.domain.picture import draw_picture


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
        lines.append(f"  measured by fresh trainings: {metric} {estimate(answer.confirmed)}")
    elif answer.value is not None and answer.value.value is not None:
        lines.append(f"  promised there, not checked: {metric} {estimate(answer.value)}")
    return [_printable(line) for line in (*lines, *(f"  {caveat}" for caveat in answer.caveats))]


def valley_lines(answer: JobAnswer, metric: str, *, maximizes: bool) -> list[str]:
    """Return the valley as a row of blocks over its rates, with a mark below the recommended one; else no lines."""
    points = [(point.learning_rate, point.value.value) for point in answer.valley if point.value.value is not None]
    rate = answer.learning_rate.value
    picture = None if rate is None else draw_picture(points, rate, maximizes=maximizes)
    if picture is None or rate is None:
        return []
    start, end, bounds = number(points[0][0]), number(points[-1][0]), (number(picture.low), number(picture.high))
    return [f"  {line}" for line in picture.lines(start, end, number(rate), metric, bounds)]


def _printable(line: str) -> str:
    """Names of choices come from users, and could carry terminal escapes."""
    return "".join(character if character.isprintable() else "?" for character in line)
