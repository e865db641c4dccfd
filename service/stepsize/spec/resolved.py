"""Specs as they are recorded: nothing that a worker needs is left open."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from stepsize.spec.budget import Budget
from stepsize.spec.job import JobSpec
from stepsize.spec.objective import Objective
from stepsize.spec.space import SearchSpace

_Model = TypeVar("_Model", bound=BaseModel)


class ResolvedBudget(Budget):
    """Limits of a job, its number of trials settled."""

    max_trials: int = Field(ge=1, le=1_000_000)
    """Trials of any outcome but cancelled."""


class ResolvedJobSpec(JobSpec):
    """A job's spec with every default written back; it posts back unchanged."""

    search_space: SearchSpace
    """Parameter name → range, with every condition."""
    objectives: list[Objective] = Field(min_length=1, max_length=5)
    """What is optimised; the first orders the trials."""
    budget: ResolvedBudget

    @model_validator(mode="after")
    def _check_seed(self) -> Self:
        if self.sampler.seed is None:
            raise ValueError("a resolved spec has its seed written back")
        return self

    @property
    def seed(self) -> int:
        """The search's seed, of which every trial's follows."""
        assert self.sampler.seed is not None, "checked above"
        return self.sampler.seed


def recall(model: type[_Model], document: Any) -> _Model:
    """Return a model from a document that was valid when it was recorded.

    A later version may have tightened a bound or dropped a field. What it would refuse today is kept as it was: a
    record must stay readable, or one old job would fail every list it is in.
    """
    try:
        return model.model_validate(document)
    except ValidationError:
        return _construct(model, document)


def _construct(model: type[_Model], document: Any) -> _Model:
    given = document if isinstance(document, dict) else {}
    fields = {
        name: _value(Annotated[field.annotation, *field.metadata, field], given[name])
        for name, field in model.model_fields.items()
        if name in given
    }
    return model.model_construct(**fields)


def _value(annotation: Any, document: Any) -> Any:
    """Return a field's value, as far as possible as its type says."""
    try:
        return TypeAdapter(annotation).validate_python(document)
    except ValidationError:
        pass
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    origin, arguments = get_origin(bare), get_args(bare)
    if origin is Annotated:
        return _value(bare, document)
    if origin in (Union, UnionType):
        member = next((one for one in arguments if _is_meant(one, document)), None)
        return document if member is None else _value(member, document)
    if origin is dict and isinstance(document, dict):
        return {key: _value(arguments[1], member) for key, member in document.items()}
    if origin is list and isinstance(document, list):
        return [_value(arguments[0], member) for member in document]
    if isinstance(bare, type) and issubclass(bare, BaseModel) and isinstance(document, dict):
        return _construct(bare, document)
    return document


def _is_meant(member: Any, document: Any) -> bool:
    """Tell whether this member of a union is the one that the document's `name` or `type` says."""
    if get_origin(member) in (Annotated, Union, UnionType):
        return any(_is_meant(inner, document) for inner in get_args(member))
    if get_origin(member) in (dict, list):
        return isinstance(document, get_origin(member))
    if not (isinstance(member, type) and issubclass(member, BaseModel) and isinstance(document, dict)):
        return False
    tags = [(name, field) for name, field in member.model_fields.items() if get_origin(field.annotation) is Literal]
    return all(document.get(name) in get_args(field.annotation) for name, field in tags if name in ("name", "type"))
