"""What a job has measured, read as columns: ten thousand trials in a tenth of a second, no object a row."""

import math
from collections.abc import Sequence

from sqlalchemy import Connection, select

from stepsize.domain.evidence import Curve, Evidence, TrialColumns
from stepsize.domain.job import Job, JobKind
from stepsize.domain.provenance import is_about_provenance
from stepsize.domain.range_test import RangeTestFindings
from stepsize.domain.trial import TrialState
from stepsize.errors import JobNotFoundError
from stepsize.spec.seeds import SeedRule
from stepsize.store.documents import number_in
from stepsize.store.jobs import get_job
from stepsize.store.models import reports, trials

_MOST_RUNG_STEPS = 50
_MOST_RUNG_TRIALS = 200
"""Completed trials whose values at the steps of pruned ones are read: enough for a median."""

_COLUMNS = [
    trials.c.number,
    trials.c.state,
    trials.c.reason,
    trials.c.params,
    trials.c["values"],
    trials.c.step,
    trials.c.purpose,
    trials.c.replicate_of,
    trials.c.seed,
    trials.c.started_at,
    trials.c.finished_at,
    trials.c.attempt,
]


def load_evidence(connection: Connection, job_id: str) -> Evidence:
    """Return a job's evidence.

    Raises:
        JobNotFoundError: no such job.
    """
    job = get_job(connection, job_id)
    columns = _load_trials(connection, job)
    objectives = tuple(job.spec.objectives)
    metric = objectives[0].metric
    return Evidence(
        job_id=job.id,
        job_name=job.name,
        change=job.change,
        trainer=job.spec.trainer.name,
        fixed=dict(job.spec.trainer.params),
        space=job.search_space,
        objectives=objectives,
        counts={state.value: n for state, n in job.counts.items()},
        trials=columns,
        seed=job.spec.seed,
        rungs=_load_rungs(connection, job, columns, metric),
        kind=job.kind,
        is_finished=job.state.is_finished,
        range_test=_load_findings(connection, job),
        provenances=job.provenances,
        provenance_warning=next(filter(is_about_provenance, job.warnings), None),
    )


def load_curves(connection: Connection, job_id: str, metric: str, numbers: Sequence[int] | None = None) -> list[Curve]:
    """Return the curves of a metric of some trials, or of all, by number."""
    value = number_in(reports.c["values"], metric)
    statement = select(reports.c.number, reports.c.step, value).where(reports.c.job_id == job_id)
    if numbers is not None:
        statement = statement.where(reports.c.number.in_(numbers))
    rows = connection.execute(statement.order_by(reports.c.number, reports.c.step))
    points: dict[int, tuple[list[int], list[float]]] = {}
    for number, step, measured in rows:
        if measured is not None:
            steps, values = points.setdefault(number, ([], []))
            steps.append(step)
            values.append(measured)
    states = connection.execute(
        select(trials.c.number, trials.c.state, trials.c.reason).where(trials.c.job_id == job_id)
    )
    found = {number: (state, reason) for number, state, reason in states}
    return [Curve(number, *found[number], *points[number]) for number in sorted(points)]


def _load_findings(connection: Connection, job: Job) -> RangeTestFindings | None:
    try:
        source = get_job(connection, job.waits_for) if job.waits_for else job
    except JobNotFoundError:  # deleted since
        return None
    is_range_test = source.kind is JobKind.RANGE_TEST and source.findings is not None
    return RangeTestFindings.model_validate(source.findings) if is_range_test else None


def _load_trials(connection: Connection, job: Job) -> TrialColumns:
    statement = select(*_COLUMNS).where(trials.c.job_id == job.id, trials.c.state != TrialState.QUEUED)
    rows = connection.execute(statement.order_by(trials.c.number)).all()
    columns = zip(*rows, strict=True) if rows else ([] for _ in _COLUMNS)
    found = {column.name: list(values) for column, values in zip(_COLUMNS, columns, strict=True)}
    if job.spec.seeds is SeedRule.UNKNOWN:
        found["seed"] = [None] * len(rows)
    return TrialColumns(**found)


def _load_rungs(connection: Connection, job: Job, columns: TrialColumns, metric: str) -> list[tuple[int, int, float]]:
    """Return what some completed trials had reached at the steps where others were pruned."""
    if not job.counts[TrialState.PRUNED]:
        return []
    pairs = list(zip(columns.state, columns.step, columns.number, strict=True))
    steps = {step for state, step, _ in pairs if state == TrialState.PRUNED and step is not None}
    completed = [number for state, _, number in pairs if state == TrialState.COMPLETED]
    chosen = completed[:: max(1, math.ceil(len(completed) / _MOST_RUNG_TRIALS))]
    value = number_in(reports.c["values"], metric)
    rows = connection.execute(
        select(reports.c.number, reports.c.step, value).where(
            reports.c.job_id == job.id,
            reports.c.number.in_(chosen),
            reports.c.step.in_(sorted(steps)[:: max(1, math.ceil(len(steps) / _MOST_RUNG_STEPS))]),
        )
    )
    return [(number, step, measured) for number, step, measured in rows if measured is not None]
