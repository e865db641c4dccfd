"""Names and values as people type them: `learning_rate=0.1`, `team:vision`."""

import json
from collections.abc import Sequence

from stepsize.spec.space import Scalar


def split_pair(pair: str, separator: str = "=", *, what: str = "a parameter") -> tuple[str, str]:
    """Return the name and the text of its value.

    Raises:
        ValueError: it is no pair.
    """
    name, found, value = pair.partition(separator)
    if not found or not name:
        raise ValueError(f"{what} is written NAME{separator}VALUE, not {pair!r}")
    return name, value


def read_scalars(pairs: Sequence[str], *, what: str = "a parameter") -> dict[str, Scalar]:
    """Return `learning_rate=0.1 optimizer=sgd` as names and values: JSON's numbers and truth values, else texts.

    Raises:
        ValueError: one is no pair, or stands there twice.
    """
    found: dict[str, Scalar] = {}
    for pair in pairs:
        name, value = split_pair(pair, what=what)
        if name in found:
            raise ValueError(f"{name!r} stands there twice")
        found[name] = _scalar(value)
    return found


def _scalar(value: str) -> Scalar:
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return parsed if isinstance(parsed, bool | int | float | str) else value
