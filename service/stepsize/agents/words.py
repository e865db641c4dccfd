"""What a tool answers: text in few tokens, the answer first, every number with its interval."""

import json
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from stepsize.client import (
    Dataset,
    Estimate,
    Job,
    JobAnswer,
    JobReport,
    JobsReport,
    RangeTest,
    SpecEntry,
    TrainerEntry,
    Trial,
    Worker,
)
from stepsize.client.display import time_left, trials_done
from stepsize.spec.space import Parameter, Scalar
from stepsize.spec.wording import counted

Listed = TrainerEntry | SpecEntry | Dataset | Worker
"""An entry of the catalogue."""
MOST_CHARACTERS = 2000
"""Of one answer: about 500 tokens."""
_MOST_CAVEATS = 3
_MOST_ROWS = 6
_LONGEST_ERROR = 200


def within(lines: Iterable[str], *, more: str) -> str:
    """Return lines as long as they fit, and where the rest is to be had."""
    kept: list[str] = []
    room = MOST_CHARACTERS - len(more) - 1
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            return "\n".join([*kept, more])
        kept.append(line)
    return "\n".join(kept)


def status_lines(job: Job) -> list[str]:
    """Return how a job stands, what stands in its way, and what to do next."""
    counts = ", ".join(f"{n} {state}" for state, n in job.progress.counts.items() if n)
    state = f"{job.state} ({job.reason})" if job.reason else job.state
    lines = [f"{job.id}: {state}, {trials_done(job, of=' of ')} ended ({counts or 'none yet'}){time_left(job)}"]
    lines += [line for line in (job.error, job.advice) if line]
    if job.answer is not None:
        lines.append(("answer: " if job.is_finished else "so far: ") + job.answer.sentence)
    lines.append("next: answer, report" if job.is_finished else "next: wait")
    return lines


def answer_lines(job: Job) -> list[str]:
    """Return which rate to use and how sure that is; that there are not enough trials, where that is so."""
    answer = job.answer
    if answer is None:
        return [f"no answer yet: no trial of {job.id} has ended. next: wait"]
    metric = job.objectives[0].metric if job.objectives else "value"
    lines = [answer.sentence, f"how sure: {answer.words.replace('_', ' ')}"]
    if answer.missing_trials:
        lines.append(f"not enough trials: about {answer.missing_trials} more may do (change budget.max_trials)")
    lines.append(f"learning_rate: {estimate(answer.learning_rate)}")
    lines += [f"{name}: {value}" for name, value in _choices(answer).items()]
    if answer.confirmed is not None and answer.confirmed.value is not None:
        lines.append(f"{metric} there, measured by fresh trainings: {estimate(answer.confirmed)}")
    elif answer.value is not None:
        lines.append(f"{metric} promised there, not checked: {estimate(answer.value)}")
    for other in answer.alternatives[:_MOST_CAVEATS]:
        lines.append(f"can't be told from it: {other.parameter} {other.choice} at {other.learning_rate:.4g}")
    return lines + [f"caveat: {caveat}" for caveat in answer.caveats[:_MOST_CAVEATS]]


def report_lines(report: JobReport, metric: str) -> list[str]:
    """Return what a job teaches, most important first."""
    lines = [
        report.recommendation,
        f"confidence: {report.confidence.replace('_', ' ')}, {counted(report.n_trials, 'trial')}",
    ]
    if report.answer.missing_trials:
        lines.append(f"not enough trials: about {report.answer.missing_trials} more may do")
    lines += [report.sensitivity.sentence, report.divergence.sentence]
    for row in report.by_batch_size.rows[:_MOST_ROWS]:
        lines.append(
            f"batch size {row.batch_size}: learning_rate {estimate(row.learning_rate)}, {metric} {estimate(row.value)}"
        )
    if report.by_batch_size.rows[1:]:
        lines.append(report.scaling_law.sentence)
    lines += [comparison.sentence for comparison in report.comparisons]
    shares = [
        f"{one.parameter} {estimate(one.importance)}"
        for one in report.importances.items
        if one.importance.value is not None
    ]
    if shares:
        lines.append(f"importance: {'; '.join(shares[:_MOST_ROWS])}")
    if report.best_trial is not None:
        best = report.best_trial
        lines.append(f"best trial, luck included: {best.number}, {metric} {best.value:.4g}, {params(best.params)}")
    return [line for line in lines if line] + [f"caveat: {caveat}" for caveat in report.caveats[:_MOST_CAVEATS]]


def comparison_lines(compared: JobsReport) -> list[str]:
    """Return what differs between jobs, and what each recommends."""
    lines = [compared.sentence]
    for row in compared.jobs:
        differs = ", ".join(f"{name} {value}" for name, value in row.differs.items())
        lines.append(
            f"{row.job_id} {row.job_name} ({differs or 'no difference'}): {row.objective.metric} {estimate(row.value)} "
            f"at learning_rate {estimate(row.recommended_rate)}, {counted(row.n_completed, 'trial')}"
        )
    return lines + [f"caveat: {caveat}" for caveat in compared.caveats[:_MOST_CAVEATS]]


def trial_line(trial: Trial) -> str:
    """Return a trial, its error and its remark included."""
    values = ", ".join(f"{name} {value:.4g}" for name, value in trial.values.items())
    state = f"{trial.state} ({trial.reason})" if trial.reason else trial.state
    error = f": {trial.error.line[:_LONGEST_ERROR]}" if trial.error else ""
    remark = f". {' '.join(trial.remark.split())[:_LONGEST_ERROR]}" if trial.remark else ""
    return f"{trial.number} {state}, {params(trial.params)} → {values or 'nothing'}{error}{remark}"


def listed(lines: Mapping[str, str], kind: str) -> str:
    """Return what there is of a kind, a line each, the names alone of those whose lines don't fit, and how to get the
    rest."""
    more = f"next: catalogue with kind {kind} and name, for all about one"
    for n_whole in range(len(lines), -1, -1):
        names = list(lines)[n_whole:]
        kept = [*list(lines.values())[:n_whole], *([f"also: {', '.join(names)}"] if names else []), more]
        if (text := "\n".join(kept)) and len(text) <= MOST_CHARACTERS:
            return text
    return within(lines, more=more)


def name_of(entry: Listed) -> str:
    """Return the name by which an entry of the catalogue is asked for."""
    return entry.id if isinstance(entry, Worker) else entry.name


def entry_line(entry: Listed) -> str:
    """Return what an entry is, in one line."""
    if isinstance(entry, Worker | Dataset):
        return repr(entry)
    is_idle = isinstance(entry, TrainerEntry) and not entry.workers
    return f"{entry.name}: {entry.help}" + (" (no worker offers it now)" if is_idle else "")


def entry_lines(entry: Listed) -> list[str]:
    """Return all about an entry, its parameters' JSON Schema last."""
    if isinstance(entry, Worker | Dataset):
        return [json.dumps(entry.model_dump(mode="json", exclude_none=True))]
    properties = entry.params_schema.get("properties")
    of_each = properties if isinstance(properties, dict) else {}
    own = {name: _without_title(about) for name, about in of_each.items() if name != "name"}
    about = _trainer_lines(entry) if isinstance(entry, TrainerEntry) else []
    return [entry_line(entry), *about, f"parameters: {json.dumps(own)}"]


def _without_title(about: JsonValue) -> JsonValue:
    return {name: said for name, said in about.items() if name != "title"} if isinstance(about, dict) else about


def _trainer_lines(trainer: TrainerEntry) -> list[str]:
    """Return what a trainer searches by default, and what it reports."""
    space = ", ".join(f"{name} {_range(parameter)}" for name, parameter in trainer.default_search_space.items())
    goals = ", ".join(f"{one.direction} {one.metric}" for one in trainer.default_objectives)
    return [
        f"  searches by default {space}; to {goals}",
        f"  metrics: {', '.join(metric.name for metric in trainer.metrics)}",
    ]


def range_test_lines(test: RangeTest) -> list[str]:
    """Return which rates are worth searching at each batch size."""
    lines = [f"{test.id}: {test.state}" + (f", {test.error}" if test.error else "")]
    for result in test.results:
        at = "" if result.batch_size is None else f"batch size {result.batch_size}: "
        if result.inconclusive or result.low is None or result.high is None or result.suggestion is None:
            lines.append(f"{at}inconclusive: {result.inconclusive or 'nothing swept yet'}")
        else:
            low, high = estimate(result.low), estimate(result.high)
            lines.append(f"{at}search from {low} to {high}; suggestion {estimate(result.suggestion)}")
    return lines if test.is_finished else [*lines, f"next: range_test with test_id {test.id}"]


def params(given: Mapping[str, Scalar]) -> str:
    """Return parameters in few characters."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in given.items()
    )


def estimate(number: Estimate) -> str:
    """Return a number with its interval, or why it can't be said."""
    if number.value is None:
        return f"unknown ({number.caveat})" if number.caveat else "unknown"
    between = "no interval" if number.low is None or number.high is None else f"{number.low:.4g} to {number.high:.4g}"
    return f"{number.value:.4g} ({between}{', a guess' if number.is_guess else ''})"


def joined(lines: Sequence[str]) -> str:
    """Return lines as one text, cut where it grows too long."""
    return within(lines, more="… cut; ask for less")


def _choices(answer: JobAnswer) -> dict[str, Scalar]:
    size: dict[str, Scalar] = {} if answer.batch_size is None else {"batch_size": answer.batch_size}
    return size | answer.choices


def _range(parameter: Parameter) -> str:
    if parameter.type == "categorical":
        return f"in {parameter.choices}"
    return f"{parameter.low} to {parameter.high}{' (log)' if parameter.log else ''}"
