"""A search space as it is put together from another tool's file, and the distributions that several tools share."""

import json
import math
import re
from collections.abc import Mapping, Sequence

from pydantic import JsonValue, TypeAdapter, ValidationError

from stepsize.conversion.outcome import ConversionError, Note
from stepsize.conversion.part import Notes
from stepsize.spec.space import Parameter, Scalar
from stepsize.spec.wording import pydantic_words

Described = dict[str, JsonValue]
"""A parameter as a job's JSON has it."""

_PARAMETER: TypeAdapter[Parameter] = TypeAdapter(Parameter)
_SIGMAS = 3.0
"""Of a normal distribution, how far a search goes from the middle: 99.7 % of its draws lie within."""


class Space:
    """What is searched and what is fixed, under names that any trainer can have."""

    def __init__(self, notes: Notes) -> None:
        self.searched: dict[str, Described] = {}
        self.fixed: dict[str, Scalar] = {}
        self.names: dict[str, str] = {}
        """The file's name → ours."""
        self._notes = notes
        self._places: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.searched)

    def search(self, place: str, name: str, described: Mapping[str, JsonValue]) -> None:
        """Add a parameter that is searched.

        Raises:
            ConversionError: no job could search it.
        """
        try:
            _PARAMETER.validate_python(described)
        except ValidationError as error:
            raise ConversionError(place, _words(error)) from None
        own = self._own(place, name)
        self.searched[own] = dict(described)
        self._places[own] = place

    def fix(self, place: str, name: str, value: JsonValue) -> None:
        """Add a parameter that has one value; one that is no number, truth value or text goes as its JSON."""
        self.fixed[self._own(place, name)] = self.scalar(place, value)

    def check_grid(self) -> None:
        """Refuse what no grid can visit.

        Raises:
            ConversionError: a real number is searched without steps.
        """
        endless = [
            own
            for own, described in self.searched.items()
            if described["type"] == "float" and "step" not in described and described["low"] != described["high"]
        ]
        if endless:
            said = "a grid needs a step here, or a list of values"
            raise ConversionError.of(ConversionError(self._places[own], said) for own in endless)

    def choices(self, place: str, values: Sequence[JsonValue]) -> Described:
        """Return a choice among values, those that are no scalars as their JSON."""
        if not values:
            raise ConversionError(place, "needs at least one value")
        scalars = [self.scalar(place, value) for value in values]
        kinds = {str if isinstance(one, str) else bool if isinstance(one, bool) else float for one in scalars}
        if len(kinds) > 1:
            self._notes.append(Note(place, "values of several types: all are carried over as texts"))
            scalars = [one if isinstance(one, str) else json.dumps(one) for one in scalars]
        unique = list(dict.fromkeys(scalars))
        if len(unique) < len(scalars):
            self._notes.append(Note(place, "a value that stands there twice is carried over once"))
        return {"type": "categorical", "choices": list(unique)}

    def scalar(self, place: str, value: JsonValue) -> Scalar:
        """Return a value as a parameter can have it."""
        if isinstance(value, bool | int | float | str):
            return value
        text = json.dumps(value)
        self._notes.append(
            Note(place, f"{text} is carried over as text: parameters are numbers, truth values or texts")
        )
        return text

    def _own(self, place: str, name: str) -> str:
        own = re.sub(r"\W+", "_", name).strip("_") or "_"
        own = f"_{own}" if own[0].isdecimal() else own
        if own in self.searched or own in self.fixed:
            raise ConversionError(place, f"another parameter is called {own!r} here too; rename one of them")
        if own != name:
            self._notes.append(Note(place, f"is called {own!r} here: names are letters, digits and underscores"))
        self.names[name] = own
        return own


class Distributions:
    """The distributions that other tools have, as parameters of ours; what differs is noted."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def uniform(self, low: float, high: float) -> Described:
        """Return an even draw of a real number."""
        return {"type": "float", "low": float(low), "high": float(high)}

    def log_uniform(self, place: str, low: float, high: float) -> Described:
        """Return an even draw of a logarithm."""
        if low <= 0:
            raise ConversionError(place, f"a logarithmic scale needs a lower end above 0, not {low:g}")
        return {"type": "float", "low": float(low), "high": float(high), "log": True}

    def whole(self, low: float, high: float, *, log: bool = False, step: int = 1) -> Described:
        """Return a whole number, both ends included."""
        plain: Described = {"type": "int", "low": math.ceil(low), "high": math.floor(high)}
        return plain | ({"log": True} if log else {}) | ({"step": step} if step != 1 else {})

    def rounded(self, place: str, low: float, high: float, q: float, *, log: bool = False) -> Described:
        """Return a draw that is rounded to multiples of q: the ends are rounded too, as the draws were."""
        if q <= 0:
            raise ConversionError(place, f"must be above 0, not {q:g}")
        first, last = round(low / q) * q, round(high / q) * q
        is_whole = q == int(q)
        if log and first <= 0:
            first = q
            self._notes.append(Note(place, f"begins at {q:g}: a logarithmic scale has no 0"))
        if (first, last) != (low, high):
            self._notes.append(Note(place, f"from {_exact(first)} to {_exact(last)}, the multiples of {q:g}"))
        if log and q != 1:
            self._notes.append(Note(place, f"not carried over: values on a logarithmic scale are not rounded to {q:g}"))
        if is_whole:
            return self.whole(first, last, log=log, step=1 if log else int(q))
        if log:
            return self.log_uniform(place, _exact(first), _exact(last))
        return {"type": "float", "low": _exact(first), "high": _exact(last), "step": float(q)}

    def normal(self, place: str, mu: float, sigma: float, *, log: bool = False) -> Described:
        """Return an even draw from where nearly all draws of a normal distribution lie."""
        if sigma <= 0:
            raise ConversionError(place, f"a standard deviation is above 0, not {sigma:g}")
        low, high = mu - _SIGMAS * sigma, mu + _SIGMAS * sigma
        low, high = (math.exp(low), math.exp(high)) if log else (low, high)
        shape = "a log-normal" if log else "a normal"
        self._notes.append(
            Note(place, f"not carried over: {shape} distribution; searched evenly from {low:g} to {high:g} (3 sigma)")
        )
        return self.log_uniform(place, low, high) if log else self.uniform(low, high)


def _exact(value: float) -> float:
    """Return a number without the digits that arithmetic has lost: 0.3, not 0.30000000000000004."""
    return float(f"{value:.15g}")


def _words(error: ValidationError) -> str:
    first = error.errors()[0]
    field = first["loc"][-1] if len(first["loc"]) > 1 else ""
    said = pydantic_words(first["type"], first.get("ctx", {}), first["msg"])
    return f"{field}: {said}" if field else said
