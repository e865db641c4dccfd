"""What commands print: tables and lines for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NoReturn

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from stepsize.client import Dataset, Estimate, Job, JobAnswer, Trial, TrialSummary
from stepsize.domain.picture import draw_picture

Printed = BaseModel | Sequence[BaseModel] | None

_LONGEST = 80
_PIPED_WIDTH = 10_000
"""Into a pipe or file tables are never cut to a terminal's 80 columns."""


def console() -> Console:
    """Return the console on standard output; names come from users, so nothing in them is markup."""
    plain = Console(markup=False, emoji=False, highlight=False)
    if not plain.is_terminal:
        plain.width = _PIPED_WIDTH
    return plain


def say(line: str) -> None:
    """Print a remark on standard error, out of the way of the data."""
    typer.echo(line, err=True)


class Refusal(typer.Exit):
    """A command's end with exit code 1, and why: a problem document for programs."""

    def __init__(self, problem: Mapping[str, object]) -> None:
        super().__init__(1)
        self.problem = problem


def fail(message: str, *, problem: Mapping[str, object] | None = None) -> NoReturn:
    """Print what went wrong and end with exit code 1.

    Args:
        problem: the same for programs; null: the message alone.
    """
    say(f"stepsize: {message}")
    raise Refusal(problem or {"type": "about:blank", "title": "Failed", "detail": message})


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def print_markdown(text: str) -> None:
    """Print Markdown: rendered on a terminal; into a file or a pipe as it is, to be rendered there."""
    if _is_terminal():
        console().print(Markdown(text))
    else:
        typer.echo(text, nl=False)


def print_json(answer: BaseModel | Sequence[BaseModel] | Mapping[str, Printed], *, indent: int | None = 2) -> None:
    """Print what the service sent."""
    typer.echo(json.dumps(_plain_all(answer), indent=indent, ensure_ascii=False))


def _plain_all(answer: Printed | Mapping[str, Printed]) -> object:
    if isinstance(answer, Mapping):
        return {name: _plain_all(part) for name, part in answer.items()}
    if answer is None or isinstance(answer, BaseModel):
        return answer and _plain(answer)
    return [_plain(row) for row in answer]


def print_jobs(jobs: Iterable[Job]) -> None:
    """Print one line a job."""
    table = _table("job", "name", "state", "trials", "answer", "valley", "best", "submitted")
    for job in jobs:
        table.add_row(
            *_cells(
                job.id,
                job.name,
                with_reason(job.state, job.reason),
                trials_done(job),
                short_answer(job),
                short_valley(job),
                best_value(job),
                age(job),
            )
        )
    console().print(table)


def print_trials(trials: Sequence[Trial], *, with_jobs: bool = False) -> None:
    """Print one line a trial, with a column for each parameter and metric that occurs.

    A metric with a parameter's name is left out: a training loop reports the rate it is at, the table shows the rate
    that was asked for.
    """
    params = _names(trial.params for trial in trials)
    metrics = [name for name in _names(trial.values for trial in trials) if name not in params]
    apart = ["purpose"] if any(trial.purpose != "search" for trial in trials) else []
    together = ["group"] if any(trial.group for trial in trials) else []
    restarted = ["attempts"] if any(trial.attempt > 1 for trial in trials) else []
    why = ["error"] if any(trial.error for trial in trials) else []
    said = ["remark"] if any(trial.remark for trial in trials) else []
    jobs = ["job"] if with_jobs else []
    table = _table(*jobs, "trial", "state", *params, *metrics, "duration", *apart, *together, *restarted, *why, *said)
    for trial in trials:
        table.add_row(
            *_cells(
                *(trial.job_id for _ in jobs),
                str(trial.number),
                with_reason(trial.state, trial.reason),
                *(number(trial.params.get(name)) for name in params),
                *(number(trial.values.get(name)) for name in metrics),
                duration(trial.duration_s),
                *(trial.purpose for _ in apart),
                *(group_of(trial) for _ in together),
                *(attempts(trial) for _ in restarted),
                *(error_of(trial) for _ in why),
                *(_on_a_line(trial.remark or "") for _ in said),
            )
        )
    console().print(table)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[object]], *, otherwise: str = "") -> None:
    """Print a table, numbers with four significant digits; without rows a remark."""
    if not rows and otherwise:
        say(otherwise)
        return
    table = _table(*columns)
    for row in rows:
        table.add_row(
            *_cells(*(number(cell) if isinstance(cell, float) else str("" if cell is None else cell) for cell in row))
        )
    console().print(table)


def print_datasets(datasets: Iterable[Dataset]) -> None:
    """Print one line a data set."""
    table = _table("name", "kind", "samples", "shape", "classes", "help")
    for found in datasets:
        shape = "×".join(map(str, found.shape or []))
        note = f"can't be used: {found.problem}" if found.problem else found.help
        table.add_row(*_cells(found.name, found.kind or found.format, number(found.n), shape, _classes(found), note))
    console().print(table)


def _classes(found: Dataset) -> str:
    return "a number" if found.target_kind == "number" else number(found.n_classes)


def with_reason(state: str, reason: str | None) -> str:
    """Return a state with why it is so."""
    return f"{state}, {reason}" if reason else state


def error_of(trial: Trial) -> str:
    """Return e.g. `ValueError: no such file`, on one line; nothing where nothing went wrong."""
    return "" if trial.error is None else _on_a_line(trial.error.line)


def _on_a_line(text: str) -> str:
    """Return a text on one line, of bearable length on a terminal; into a pipe or a file it is not cut."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST or not _is_terminal() else f"{line[: _LONGEST - 1]}…"


def group_of(trial: Trial) -> str:
    """Return e.g. `12` for a trial trained as one with others, `alone` for one that can't be."""
    group = trial.group
    return "" if group is None else group.id if group.how == "fused" else group.how


def attempts(trial: Trial) -> str:
    """Return e.g. `3, 1 lost with its worker`: what no fault of the trial cost it stands apart."""
    losses = trial.losses_of_worker
    return f"{trial.attempt}, {losses} lost with its worker" if losses else str(trial.attempt)


def trials_done(job: Job) -> str:
    """Return e.g. `12/40`; replicates come after the last of these, and don't count."""
    n, most = job.progress.n_finished, job.progress.max_trials
    return f"{n}/?" if most is None else f"{min(n, most)}/{most}"


def short_answer(job: Job) -> str:
    """Return e.g. `0.0123 (0.008 to 0.02) at 64, fairly sure`, why there is none, or nothing before any trial ended."""
    answer = job.answer
    if answer is None or job.kind == "range_test":
        return ""
    if answer.learning_rate.value is None:
        return f"about {answer.missing_trials} more trials" if answer.missing_trials else "none"
    at = "" if answer.batch_size is None else f" at {answer.batch_size}"
    return f"{estimate(answer.learning_rate)}{at}, {in_words(answer)}"


def short_valley(job: Job) -> str:
    """Return the valley of a job's answer as a row of blocks, lowest rate first; nothing where there is none."""
    answer = job.answer
    if answer is None or answer.learning_rate.value is None or not job.objectives:
        return ""
    points = [(at.learning_rate, at.value.value) for at in answer.valley[::2] if at.value.value is not None]
    maximizes = job.objectives[0].direction == "maximize"
    picture = draw_picture(points, answer.learning_rate.value, maximizes=maximizes)
    return "" if picture is None else picture.blocks


def in_words(answer: JobAnswer) -> str:
    """Return how sure an answer is, e.g. `fairly sure`."""
    return {"low": "a rough guess", "none": "no answer"}.get(answer.words, answer.words.replace("_", " "))


def estimate(found: Estimate) -> str:
    """Return e.g. `0.0123 (0.008 to 0.02)`; a number that is a guess says so."""
    if found.value is None:
        return "–"
    text = number(found.value)
    if found.low is not None and found.high is not None and found.low != found.high:
        text += f" ({number(found.low)} to {number(found.high)})"
    return f"guess: {text}" if found.is_guess else text


def best_value(job: Job) -> str:
    """Return e.g. `val_accuracy 0.957`, or nothing; a range test's sweeps have no best."""
    if job.best is None or not job.objectives or job.kind == "range_test":
        return ""
    metric = job.objectives[0].metric
    return f"{metric} {number(job.best.values.get(metric))}"


def describe_best(job: Job) -> str:
    """Return e.g. `val_accuracy 0.957 (trial 7: learning_rate 0.0123, batch_size 64)`."""
    if job.kind == "range_test":
        return f"`stepsize report {job.id}` says what it found"
    return f"{best_value(job)} ({describe_params(job.best)})" if job.best else "no feasible trial yet"


def describe_params(trial: TrialSummary) -> str:
    """Return e.g. `trial 7: learning_rate 0.0123, batch_size 64`."""
    return f"trial {trial.number}: {describe_values(trial.params)}"


def describe_values(values: Mapping[str, float | str]) -> str:
    """Return e.g. `learning_rate 0.0123, batch_size 64`."""
    return ", ".join(f"{name} {number(value)}" for name, value in values.items())


def number(value: float | str | None) -> str:
    """Return a parameter or metric with four significant digits, or nothing."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float | None) -> str:
    """Return e.g. `0.05 s`, `3.2 s`, `12 s`, `3 min 20 s` or `2 h 5 min`; whole seconds stay whole."""
    if seconds is None:
        return ""
    if isinstance(seconds, float) and seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{max(seconds, 0.01):.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def age(job: Job) -> str:
    """Return how long ago a job was submitted."""
    return f"{duration((datetime.now(UTC) - job.created_at).total_seconds())} ago"


def _plain(answer: BaseModel) -> object:
    # exclude_unset: exactly the fields the service sent, not the client's defaults.
    return answer.model_dump(mode="json", exclude_unset=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=index == 0)  # ids are copied: never broken
    return table


def _cells(*texts: str) -> Iterable[str]:
    # A name could carry terminal escapes.
    return ("".join(character if character.isprintable() else "?" for character in text) for text in texts)


def _names(mappings: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))
