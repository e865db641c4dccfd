"""Names and values as people type them: `learning_rate=0.1`, `team:vision`."""

import json
from collections.abc import Sequence
from typing import NoReturn

from stepsize.spec.space import Scalar


def read_pairs(pairs: Sequence[str], separator: str = "=", *, what: str = "a parameter") -> dict[str, str]:
    """Return `learning_rate=0.1 optimizer=sgd` as names and the texts of their values.

    Raises:
        ValueError: one is no pair, or stands there twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, separated, value = pair.partition(separator)
        if not separated or not name:
            raise ValueError(f"{what} is written NAME{separator}VALUE, not {pair!r}")
        if name in found:
            raise ValueError(f"{name!r} stands there twice")
        found[name] = value
    return found


def read_scalars(pairs: Sequence[str], *, what: str = "a parameter") -> dict[str, Scalar]:
    """Return `learning_rate=0.1 optimizer=sgd` as names and values: JSON's numbers and truth values, else texts.

    Raises:
        ValueError: one is no pair, or stands there twice.
    """
    return {name: _scalar(value) for name, value in read_pairs(pairs, what=what).items()}


def _scalar(value: str) -> Scalar:
    try:
        parsed = json.loads(value, parse_constant=_refuse_constant)
    except ValueError:
        return value
    return parsed if isinstance(parsed, bool | int | float | str) else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
