"""Parameters of a search space as Python writes them: `Float(1e-3, 1.0, log=True)` says its type once."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TypeVar

from pydantic import ValidationError

from stepsize.spec.arguments import says_what_it_takes
from stepsize.spec.base import Spec
from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, Scalar
from stepsize.spec.wording import pydantic_words

GivenWhen = Mapping[str, Scalar | Sequence[Scalar]]
"""Parent parameter → the value, or the values, under which the child applies."""

S = TypeVar("S", bound=Spec)


@says_what_it_takes("Float(1e-5, 1.0, log=True)")
def Float(  # noqa: N802 - reads as a type
    low: float | None = None,
    high: float | None = None,
    *,
    log: bool = False,
    step: float | None = None,
    range_test: bool = False,
    when: GivenWhen | None = None,
) -> FloatParameter:
    """Return a real number between `low` and `high`, both reachable.

    Args:
        low, high: the bounds; left out with `range_test`, which finds them.
        log: search on a logarithmic scale: what learning rates need.
        step: distance between neighbouring values; null: continuous.
        range_test: learning rate only: find the bounds with range tests before the search starts.
        when: search it only where these parents have these values, e.g. `{"optimizer": "sgd"}`.

    Raises:
        ValueError: it says what doesn't fit together, and how to mend it.
    """
    fields = {"low": low, "high": high, "log": log, "step": step, "range_test": range_test}
    return _built(FloatParameter, "Float", type="float", when=_lists(when), **fields)


@says_what_it_takes("Int(16, 256, powers_of_two=True)")
def Int(  # noqa: N802 - reads as a type
    low: int,
    high: int,
    *,
    log: bool = False,
    step: int = 1,
    powers_of_two: bool = False,
    when: GivenWhen | None = None,
) -> IntParameter:
    """Return a whole number between `low` and `high`, both reachable.

    Args:
        log: search on a logarithmic scale.
        step: distance between neighbouring values.
        powers_of_two: only powers of two, such as batch sizes.
        when: as for `Float`.

    Raises:
        ValueError: it says what doesn't fit together, and how to mend it.
    """
    fields = {"low": low, "high": high, "log": log, "step": step, "powers_of_two": powers_of_two}
    return _built(IntParameter, "Int", type="int", when=_lists(when), **fields)


@says_what_it_takes('Choice(["sgd", "adam"])')
def Choice(choices: Sequence[Scalar], *, when: GivenWhen | None = None) -> CategoricalParameter:  # noqa: N802
    """Return one of some values without an order.

    Args:
        choices: numbers, texts or truth values that differ from each other.
        when: as for `Float`.

    Raises:
        ValueError: it says what is wrong with the choices.
    """
    if isinstance(choices, str | bytes):
        raise ValueError(f"Choice: choices is a list of values, such as [{choices!r}], not one text")
    if isinstance(choices, Mapping | Set) or not isinstance(choices, Iterable):
        raise ValueError(f"Choice: choices is a list of values, in an order that stays, not {choices!r}")
    values = [_plain(value) for value in choices]
    for value in values:
        if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(
                f"Choice: choices are finite numbers, texts or truth values, not {value!r}; "
                "give it a name here, and look it up where you train"
            )
    return _built(CategoricalParameter, "Choice", type="categorical", choices=values, when=_lists(when))


@says_what_it_takes("Bool()")
def Bool(*, when: GivenWhen | None = None) -> CategoricalParameter:  # noqa: N802 - reads as a type
    """Return false or true."""
    return Choice([False, True], when=when)


def _lists(when: GivenWhen | None) -> dict[str, list[Scalar]] | None:
    if when is None:
        return None
    if not isinstance(when, Mapping) or any(isinstance(values, Mapping) for values in when.values()):
        raise ValueError(f"when: names each parent with its values, such as {{'optimizer': ['sgd']}}, not {when!r}")
    return {
        parent: list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values]
        for parent, values in when.items()
    }


def _plain(value: Scalar) -> Scalar:
    """Return a number as Python has it, not as NumPy has: its whole numbers would be read as real ones."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", None) == 0 else value


def _built(model: type[S], called: str, **fields: object) -> S:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        wrong = [
            ": ".join([*map(str, each["loc"][:1]), pydantic_words(each["type"], each.get("ctx", {}), each["msg"])])
            for each in error.errors(include_url=False)
        ]
        raise ValueError(f"{called}: {'; '.join(dict.fromkeys(wrong))}") from None
