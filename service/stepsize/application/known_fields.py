"""What filters and sorts of trials name: what no trial can have is told, and not answered by an empty list."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from stepsize.application.catalogue import Catalogue, card_of, load_catalogue
from stepsize.domain.job import Job, JobKind
from stepsize.errors import FieldError, InvalidRequestError
from stepsize.spec.expressions import Expression
from stepsize.spec.hints import hint
from stepsize.spec.space import CategoricalParameter, Scalar
from stepsize.store.database import Connection
from stepsize.store.documents import boolean_text
from stepsize.store.jobs import get_job
from stepsize.store.listing import Comparison, Condition, Field, TrialQuery, entry_names, has_entry

_EQUALITIES = (Comparison.EQUAL, Comparison.NOT_EQUAL)


def settle(connection: Connection, query: TrialQuery, *, lease_s: float) -> TrialQuery:
    """Return a query whose conditions are about values as the job has them, types included.

    Raises:
        JobNotFoundError: no such job.
        InvalidRequestError: it names a parameter or a metric that no trial can have, or a choice that there is not.
    """
    sort = [] if query.sort is None else [query.sort.field]
    named = [("?filter", one.field) for one in query.conditions] + [("?sort", field) for field in sort]
    if all(field.entry is None for _, field in named):
        return query
    if query.job_id is None:
        _refuse(_unknown_anywhere(connection, named, lease_s=lease_s))
        return query
    job = get_job(connection, query.job_id)
    _refuse(_unknown_of_job(connection, job, named))
    return replace(query, conditions=[_own_condition(job, condition) for condition in query.conditions])


def _unknown_of_job(connection: Connection, job: Job, named: list[tuple[str, Field]]) -> Iterator[FieldError]:
    declared = {"params": set(job.search_space), "values": set(_promised_metrics(job))}
    for pointer, field in named:
        name, document = field.entry, field.column
        if name is None or name in declared[document] or has_entry(connection, field, job_id=job.id):
            continue
        present = entry_names(connection, document, job_id=job.id)
        card = card_of(connection, job.spec)
        if document == "values" and card is not None:
            present |= {metric.name for metric in card.metrics}
        if name not in present and not _may_still_come(job, document, present):
            yield FieldError(pointer, _why_unknown(job, document, name, declared[document] | present))


def _unknown_anywhere(
    connection: Connection, named: list[tuple[str, Field]], *, lease_s: float
) -> Iterator[FieldError]:
    catalogue: Catalogue | None = None
    for pointer, field in named:
        if field.entry is None or has_entry(connection, field, job_id=None):
            continue
        catalogue = catalogue or load_catalogue(connection, lease_s=lease_s)
        known = _declared_by(catalogue, field.column) | entry_names(connection, field.column, job_id=None)
        if field.entry not in known:
            what = "parameter" if field.column == "params" else "metric"
            yield FieldError(pointer, f"no trial has a {what} {field.entry!r}; {hint(field.entry, known)}")


def _declared_by(catalogue: Catalogue, document: str) -> set[str]:
    cards = [entry.card for entry in catalogue.trainers]
    if document == "params":
        return {name for card in cards for name in card.params_schema.get("properties", {})}
    return {metric.name for card in cards for metric in card.metrics}


def _promised_metrics(job: Job) -> Iterator[str]:
    yield from (objective.metric for objective in job.spec.objectives)
    yield from (name for text in job.spec.outcome_constraints for name in Expression.parse(text).names)


def _may_still_come(job: Job, document: str, present: set[str]) -> bool:
    """Tell whether nobody can say yet which names there will be: clients choose theirs, sweeps bring their own."""
    is_free = job.kind is JobKind.RANGE_TEST or (document == "values" and job.spec.trains_elsewhere)
    return is_free and not present


def _why_unknown(job: Job, document: str, name: str, known: set[str]) -> str:
    if document == "values":
        return f"no trial of this job has a metric {name!r}; {hint(name, known)}"
    if name in job.spec.trainer.params:
        return f"{name} is not searched: it is {job.spec.trainer.params[name]!r} in every trial of this job"
    return f"this job searches no parameter {name!r}; {hint(name, known)}"


def _own_condition(job: Job, condition: Condition) -> Condition:
    """Return a condition about the values that the searched parameter can have.

    Raises:
        InvalidRequestError: it can't have any that equals the operand.
    """
    name = condition.field.entry
    parameter = job.search_space.get(name) if name is not None and condition.field.column == "params" else None
    if parameter is None or condition.comparison not in _EQUALITIES:
        return condition
    said = condition.texts[0] if condition.texts else ""
    if not isinstance(parameter, CategoricalParameter):
        _refuse(
            [FieldError("?filter", f"{name} is a number, and {said!r} is none")] if condition.number is None else []
        )
        return condition
    chosen = [one for one in parameter.choices if _equals(condition, one)]
    if not chosen:
        choices = dict.fromkeys(one if isinstance(one, str) else str(one).lower() for one in parameter.choices)
        _refuse([FieldError("?filter", f"{name} is never {said!r} in this job; {hint(said, choices)}")])
    numbers = [float(one) for one in chosen if not isinstance(one, bool | str)]
    if numbers:  # where a number and a string read alike, quotes mean the string
        return replace(condition, number=numbers[0], texts=())
    booleans = [boolean_text(one) for one in chosen if isinstance(one, bool)]
    return replace(condition, number=None, texts=tuple(booleans or condition.texts))


def _equals(condition: Condition, choice: Scalar) -> bool:
    match choice:
        case bool():
            return boolean_text(choice) in condition.texts
        case str():
            return choice in condition.texts
        case _:
            return condition.number == choice


def _refuse(errors: Iterable[FieldError]) -> None:
    if found := list(errors):
        raise InvalidRequestError(found)
