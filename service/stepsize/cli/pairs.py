"""Options of the form `name=value` and `key:value`."""

from collections.abc import Sequence

import typer

from stepsize.spec.pairs import read_scalars, split_pair
from stepsize.spec.space import Scalar


def read_params(pairs: Sequence[str], *, what: str = "a parameter") -> dict[str, Scalar]:
    """Return `learning_rate=0.1 optimizer=sgd` as names and values: JSON's numbers and truth values, else texts.

    Raises:
        typer.BadParameter: one is no pair, or stands there twice.
    """
    try:
        return read_scalars(pairs, what=what)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def read_values(pairs: Sequence[str]) -> dict[str, float]:
    """Return `val_loss=0.4` as metrics and numbers.

    Raises:
        typer.BadParameter: one is no number.
    """
    found: dict[str, float] = {}
    for name, value in read_params(pairs, what="a metric").items():
        if isinstance(value, bool | str):
            raise typer.BadParameter(f"{name} is a number, not {value!r}")
        found[name] = value
    return found


def read_limits(pairs: Sequence[str]) -> dict[str, float | None]:
    """Return `max_trials=100 timeout_s=null` as limits.

    Raises:
        typer.BadParameter: one is neither a number nor null.
    """
    given = {_split(pair, "=", "a limit") for pair in pairs}
    unlimited: dict[str, float | None] = {name: None for name, value in given if value == "null"}
    return unlimited | read_values([f"{name}={value}" for name, value in given if value != "null"])


def read_labels(pairs: Sequence[str]) -> dict[str, str]:
    """Return `team:vision` as a key and its value.

    Raises:
        typer.BadParameter: one is no pair.
    """
    return dict(_split(pair, ":", "a label") for pair in pairs)


def _split(pair: str, separator: str, what: str) -> tuple[str, str]:
    try:
        return split_pair(pair, separator, what=what)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
