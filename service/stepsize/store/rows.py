"""From table rows to the domain's frozen dataclasses."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Text, case, cast, func

from stepsize.domain.job import Desired, Job, JobKind, JobReason, JobState
from stepsize.domain.trial import GroupHow, Report, Trial, TrialError, TrialGroup, TrialPurpose, TrialReason, TrialState
from stepsize.spec.resolved import ResolvedJobSpec, recall
from stepsize.store.database import db_now
from stepsize.store.models import jobs, reports, trials

_JOB_HIDDEN = {"trainer_name", "trainer_version", "gpus", "cpus", "spec"}
LEASE_LIVE = case((func.coalesce(jobs.c.lease_expires_at, 0.0) > db_now(), True), else_=False).label("lease_live")
JOB_COLUMNS = [
    *(column for column in jobs.c if column.name not in _JOB_HIDDEN),
    cast(jobs.c.spec, Text).label("spec"),
    LEASE_LIVE,
]
"""What `job_from_row` needs; `lease_live` is judged by the database's clock at the time of reading."""

TRIAL_COLUMNS = [column for column in trials.c if column.name != "project"]
REPORT_COLUMNS = [reports.c.number, reports.c.step, reports.c["values"], reports.c.elapsed_s]


def job_from_row(row: Row[Any], *, without: Iterable[str] = ()) -> Job:
    """Return the job in a row of JOB_COLUMNS.

    Args:
        without: names of further columns that the row has.
    """
    data = dict(row._mapping)
    for name in without:
        del data[name]
    counts = {state: data.pop(f"n_{state}") for state in TrialState}
    data["counts"] = counts
    data["kind"] = JobKind(data["kind"])
    data["state"] = JobState(data["state"])
    data["reason"] = data["reason"] and JobReason(data["reason"])
    data["desired"] = Desired(data["desired"])
    data["spec"] = _recall_spec(data["spec"])
    data["warnings"] = tuple(data["warnings"])
    data["provenances"] = tuple(data["provenances"] or ())
    data["lease_live"] = bool(data["lease_live"])
    return Job(**data)


@lru_cache(maxsize=256)
def _recall_spec(text: str) -> ResolvedJobSpec:
    """Return the spec in a document: it is frozen, and the same in every transaction of a job."""
    return recall(ResolvedJobSpec, json.loads(text))


def trial_from_row(row: Row[Any]) -> Trial:
    """Return the trial in a row of TRIAL_COLUMNS."""
    data = dict(row._mapping)
    data["state"] = TrialState(data["state"])
    data["purpose"] = TrialPurpose(data["purpose"])
    data["reason"] = data["reason"] and TrialReason(data["reason"])
    data["group"] = data["group"] and _group_of(data["group"])
    data["error"] = data["error"] and TrialError(**data["error"])
    data["stand_in"] = data["stand_in"] and tuple(data["stand_in"])
    data["artifacts"] = tuple(data["artifacts"])
    return Trial(**data)


def _group_of(data: Mapping[str, Any]) -> TrialGroup:
    read = {"how": GroupHow(data["how"]), "measured": tuple(data.get("measured", ()))}
    return TrialGroup(**{**data, **read})


def report_from_row(row: Row[Any]) -> Report:
    """Return the report in a row of REPORT_COLUMNS."""
    return Report(**row._mapping)
