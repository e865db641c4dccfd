"""Parameters checked against a trainer's card: names, values, ranges and the conditions under which they apply."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from stepsize.application.pointers import pointer
from stepsize.domain.trainer import TrainerCard
from stepsize.errors import FieldError
from stepsize.spec.hints import hint
from stepsize.spec.space import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Scalar,
    SearchSpace,
    When,
    applies,
    as_whole,
    is_among,
    is_same,
    shown,
)
from stepsize.spec.wording import schema_words

Params = Mapping[str, Scalar]


class ParamsSchema:
    """The JSON Schema of a trainer's parameters, asked one parameter at a time."""

    def __init__(self, card: TrainerCard) -> None:
        self.trainer = card.name
        self._properties: dict[str, dict[str, Any]] = card.params_schema.get("properties", {})
        self._validator = Draft202012Validator(card.params_schema)

    @property
    def names(self) -> list[str]:
        return list(self._properties)

    def why_unknown(self, name: str) -> str:
        """Return what to tell a client that named a parameter the trainer doesn't have."""
        return f"{self.trainer} has no parameter {name!r}; {hint(name, self._properties)}"

    def why_refused(self, name: str, value: Scalar) -> str | None:
        """Return why a value is none the parameter can take, or None if it is one."""
        validator = self._validator.evolve(schema=self._property(name))
        error = next(validator.iter_errors(value), None)
        if error is not None and error.validator in ("enum", "const") and isinstance(value, str):
            known = error.validator_value if error.validator == "enum" else [error.validator_value]
            return f"{name} is never {value!r}; {hint(value, map(str, known))}"
        return None if error is None else schema_words(str(error.validator), error.validator_value, value)

    def when(self, name: str) -> When:
        """Return the values of other parameters under which this one applies; empty: always."""
        when: When = self._property(name).get("x-when", {})
        return when

    def default(self, name: str) -> Scalar | None:
        default: Scalar | None = self._property(name).get("default")
        return default

    def is_searchable(self, name: str) -> bool:
        """Tell whether the parameter may differ between the trials of a job."""
        searchable: bool = self._property(name).get("x-searchable", True)
        return searchable

    def is_whole(self, name: str) -> bool:
        """Tell whether the parameter takes whole numbers only."""
        own = self._property(name)
        kinds = {own.get("type"), *(option.get("type") for option in own.get("anyOf", ()))} - {None, "null"}
        return kinds == {"integer"}

    def own(self, name: str, value: Scalar) -> Scalar:
        """Return a value as the trainer has it: a whole number that a client wrote as a float is whole."""
        whole = as_whole(value) if self.is_whole(name) else None
        return value if whole is None else whole

    def applying(self, params: Params) -> dict[str, Scalar]:
        """Return those of a complete configuration's parameters that apply in it."""
        return {
            name: value
            for name, value in params.items()
            if all(
                (given := params.get(parent, self.default(parent))) is not None and is_among(given, values)
                for parent, values in self.when(name).items()
            )
        }

    def is_enumerated(self, name: str) -> bool:
        """Tell whether the parameter takes listed values only."""
        return "enum" in self._property(name)

    def _property(self, name: str) -> dict[str, Any]:
        own = self._properties.get(name, {})
        return self._definition(own["$ref"]) | own if "$ref" in own else own

    def _definition(self, reference: str) -> dict[str, Any]:
        definitions: dict[str, dict[str, Any]] = self._validator.schema.get("$defs", {})  # type: ignore[union-attr]
        return definitions.get(reference.removeprefix("#/$defs/"), {})


@dataclass(frozen=True)
class Choice:
    """A job's parameters as the client chose them: some fixed, some searched, the others at their defaults."""

    schema: ParamsSchema
    fixed: Params
    space: SearchSpace

    def can_be(self, name: str, values: Iterable[Scalar]) -> list[Scalar]:
        """Return which of these values the parameter may take in this job."""
        if name in self.fixed:
            return [value for value in values if is_same(value, self.fixed[name])]
        if name in self.space:
            return [value for value in values if self.space[name].contains(value)]
        default = self.schema.default(name)
        return [value for value in values if default is not None and is_same(value, default)]

    def describe(self, name: str) -> str:
        """Say what the parameter is in this job, for people."""
        if name in self.fixed:
            return f"{name} is fixed to {shown(self.fixed[name])}"
        if name in self.space:
            return f"{name} is searched over other values"
        return f"{name} is {shown(self.schema.default(name))} by default"

    def why_never_applies(self, name: str) -> str | None:
        """Return why a parameter has no meaning in any trial of the job, or None if it has in some."""
        for parent, values in self.schema.when(name).items():
            if not self.can_be(parent, values):
                wanted = " or ".join(map(shown, values))
                return f"{name} applies only when {parent} is {wanted}, and {self.describe(parent)}"
        return None


def own_fixed(schema: ParamsSchema, params: Params) -> dict[str, Scalar]:
    """Return fixed parameters as the trainer has their values."""
    return {name: schema.own(name, value) for name, value in params.items()}


def with_defaults(choice: Choice) -> dict[str, Scalar]:
    """Return the fixed parameters, and the trainer's default of every other that is not searched and may apply."""
    defaults = {
        name: choice.schema.default(name)
        for name in choice.schema.names
        if name not in choice.fixed and name not in choice.space and choice.why_never_applies(name) is None
    }
    return {**choice.fixed, **{name: value for name, value in defaults.items() if value is not None}}


def check_fixed(choice: Choice, *, whole: bool = True) -> Iterator[FieldError]:
    """Yield what is wrong with the fixed parameters.

    Args:
        whole: whether the choice is all that was asked for; else whether a parameter applies can't be said.
    """
    for name, value in choice.fixed.items():
        at = pointer("trainer", "params", name)
        if name not in choice.schema.names:
            yield FieldError(at, choice.schema.why_unknown(name))
        elif message := choice.schema.why_refused(name, value):
            yield FieldError(at, message)
        elif whole and (message := choice.why_never_applies(name)):
            yield FieldError(at, f"{message}; drop trainer.params.{name}")


def check_searched(choice: Choice, *, whole: bool = True) -> Iterator[FieldError]:
    """Yield what is wrong with the ranges searched, their conditions left aside; `whole` as for `check_fixed`."""
    for name, parameter in choice.space.items():
        at = pointer("search_space", name)
        if name not in choice.schema.names:
            yield FieldError(at, choice.schema.why_unknown(name))
        elif name in choice.fixed:
            yield FieldError(at, f"{name} is fixed in trainer.params; fix it or search it, not both")
        elif not choice.schema.is_searchable(name):
            yield FieldError(at, f"{name} is the same for all trials of a job; set it in trainer.params")
        else:
            yield from _check_range(choice.schema, name, parameter)
            if whole and (message := choice.why_never_applies(name)):
                yield FieldError(at, f"{message}; drop search_space.{name}")


def _check_range(schema: ParamsSchema, name: str, parameter: Parameter) -> Iterator[FieldError]:
    match parameter:
        case CategoricalParameter():
            for index, value in enumerate(parameter.choices):
                if message := schema.why_refused(name, value):
                    yield FieldError(pointer("search_space", name, "choices", index), message)
        case FloatParameter() | IntParameter():
            if message := _why_no_range(schema, name, parameter):
                yield FieldError(pointer("search_space", name, "type"), message)
                return
            bounds: dict[str, Scalar | None] = {"low": parameter.low, "high": parameter.high}
            for bound, limit in bounds.items():
                if limit is not None and (message := schema.why_refused(name, limit)):
                    yield FieldError(pointer("search_space", name, bound), message)


def _why_no_range(schema: ParamsSchema, name: str, parameter: FloatParameter | IntParameter) -> str | None:
    if schema.is_enumerated(name):
        return f"{name} takes listed values only; search it as categorical"
    if isinstance(parameter, FloatParameter) and schema.is_whole(name):
        return f"{name} takes whole numbers only; search it as int"
    return None


def check_params(params: Params, *at: str | int, fixed: Params, space: SearchSpace) -> Iterator[FieldError]:
    """Yield what is wrong with a configuration a client wants tried.

    Args:
        at: where the configuration stands in the document.
        fixed: the job's fixed parameters.
        space: the job's search space with every condition written back.
    """
    for name in params:
        if name in fixed:
            yield FieldError(
                pointer(*at, name), f"{name} is not searched: it is {shown(fixed[name])} in all trials of the job"
            )
        elif name not in space:
            yield FieldError(pointer(*at, name), f"{name} is not searched; {hint(name, space)}")
        elif message := _why_not_tried(name, params, space[name]):
            yield FieldError(pointer(*at, name), message)


def _why_not_tried(name: str, params: Params, parameter: Parameter) -> str | None:
    if not parameter.contains(params[name]):
        return f"{shown(params[name])} is outside the search space"
    if not applies(parameter, params):
        wanted = " and ".join(
            f"{parent} is {' or '.join(map(shown, values))}" for parent, values in (parameter.when or {}).items()
        )
        return f"{name} applies only when {wanted}; say so in the same configuration, or leave {name} out"
    return None
