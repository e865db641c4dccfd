"""A program as the file of `STEPSIZE_COMMANDS` describes it, made from what another tool says of it.

What the keys mean stands in docs/how-to/command-trainer.md.
"""

import math
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from stepsize.conversion.space import Described, Space
from stepsize.spec.space import Scalar


def describe_program(
    name: str, command: Sequence[str], space: Space, metrics: Mapping[str, str | None], *, source: str
) -> dict[str, JsonValue]:
    """Return the file's content.

    Args:
        name: what jobs call the trainer.
        command: the program and its arguments, with `{name}` for parameters.
        metrics: metric → direction, or None for one that is only reported; the first has a direction.
        source: what the description was made of.
    """
    params: dict[str, JsonValue] = {}
    for own, described in space.searched.items():
        params[own] = _searched(described)
    for own, value in space.fixed.items():
        params[own] = _typed([value], value)
    program: dict[str, JsonValue] = {
        "command": list(command),
        "help": f"Made from {source}.",
        "metrics": {**metrics},
        "search_space": {**space.searched},
        "params": params,
    }
    return {"trainers": {name: program}}


def _searched(described: Described) -> JsonValue:
    match described["type"]:
        case "categorical":
            choices = described["choices"]
            assert isinstance(choices, list), "made by Space.choices"
            values: list[Scalar] = [one for one in choices if isinstance(one, bool | int | float | str)]
            return _typed(values, values[0])
        case kind:
            low, high = described["low"], described["high"]
            assert isinstance(low, int | float), "checked when it was added"
            assert isinstance(high, int | float), "checked when it was added"
            middle = math.sqrt(low * high) if described.get("log") else (low + high) / 2
            default: float = round(middle) if kind == "int" else float(f"{middle:.3g}")
            default = min(max(default, low), high)
            return {"type": str(kind), "default": default, "low": low, "high": high, "help": "Searched."}


def _typed(values: Sequence[Scalar], default: Scalar) -> JsonValue:
    """Return a parameter that takes these values, all of one kind."""
    about: dict[str, JsonValue] = {"default": default, "help": "Searched." if len(values) > 1 else "As it was fixed."}
    numbers = [value for value in values if not isinstance(value, bool | str)]
    if numbers:
        kind = "int" if all(isinstance(number, int) for number in numbers) else "float"
        return {"type": kind, **about, "low": min(numbers), "high": max(numbers)}
    if isinstance(default, bool):
        return {"type": "bool", **about}
    return {"type": "str", **about, "choices": [str(value) for value in values]}
