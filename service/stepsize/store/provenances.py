"""Provenances: each kept once, under its id, however many trials share it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from stepsize.clock import now
from stepsize.domain.provenance import differs, is_about_provenance
from stepsize.spec.provenance import Provenance
from stepsize.store.columns import JobColumns
from stepsize.store.models import provenances, trials

MOST_PROVENANCES = 50
"""Of one job; what differs in more is not one experiment."""


@dataclass(frozen=True)
class ProvenanceShare:
    """Those of a job's trials that came from the same."""

    id: str
    provenance: Provenance
    n_trials: int
    first_trial: int


def add_provenance(
    connection: Connection, found: Provenance, known: Sequence[str], warnings: Sequence[str], *, project: str
) -> JobColumns:
    """Record what a job's trials came from; return what changes of the job by it: where they differ, it warns.

    Args:
        known: ids of what its trials came from so far.
        warnings: the job's so far.
    """
    if found.id in known:
        return {}
    keep_provenance(connection, found, project=project)
    if len(known) >= MOST_PROVENANCES:
        return {}
    ids = [*known, found.id]
    if len(ids) == 1:
        return {"provenances": ids}
    others = find_provenances(connection, ids, project=project)
    kept = [warning for warning in warnings if not is_about_provenance(warning)]
    return {"provenances": ids, "warnings": [*kept, differs([others[one] for one in ids if one in others])]}


def keep_provenance(connection: Connection, found: Provenance, *, project: str) -> None:
    """Record a provenance; one that is there already stays as it is."""
    row = {"project": project, "id": found.id, "provenance": found.model_dump(mode="json"), "created_at": now()}
    connection.execute(_INSERT[connection.dialect.name], row)


def find_provenances(connection: Connection, ids: Iterable[str], *, project: str) -> dict[str, Provenance]:
    """Return provenances by id; ids that are not known are left out."""
    rows = connection.execute(_SELECT, {"of_project": project, "of_ids": list(ids)})
    return {row.id: Provenance.model_validate(row.provenance) for row in rows}


def provenance_shares(connection: Connection, job_id: str, *, project: str = "default") -> list[ProvenanceShare]:
    """Return what a job's trials came from, in the order in which it came up."""
    counted = connection.execute(_COUNT, {"of_job": job_id}).all()
    known = find_provenances(connection, [row.provenance for row in counted], project=project)
    return [
        ProvenanceShare(row.provenance, known[row.provenance], row.n_trials, row.first_trial)
        for row in counted
        if row.provenance in known
    ]


_INSERT = {
    "sqlite": sqlite.insert(provenances).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(provenances).on_conflict_do_nothing(),
}
_SELECT = select(provenances.c.id, provenances.c.provenance).where(
    provenances.c.project == bindparam("of_project"), provenances.c.id.in_(bindparam("of_ids", expanding=True))
)
_COUNT = (
    select(trials.c.provenance, func.count().label("n_trials"), func.min(trials.c.number).label("first_trial"))
    .where(trials.c.job_id == bindparam("of_job"), trials.c.provenance.is_not(None))
    .group_by(trials.c.provenance)
    .order_by(func.min(trials.c.number))
)
