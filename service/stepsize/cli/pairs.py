"""Options of the form `name=value` and `key:value`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from stepsize.spec.pairs import read_pairs, read_scalars
from stepsize.spec.space import Scalar


def read_params(pairs: Sequence[str], *, what: str = "a parameter") -> dict[str, Scalar]:
    """Return `learning_rate=0.1 optimizer=sgd` as names and values: JSON's numbers and truth values, else texts.

    Raises:
        typer.BadParameter: one is no pair, or stands there twice.
    """
    with _told("NAME=VALUE"):
        return read_scalars(pairs, what=what)


def read_values(pairs: Sequence[str]) -> dict[str, float]:
    """Return `val_loss=0.4` as metrics and numbers.

    Raises:
        typer.BadParameter: one is no number.
    """
    found: dict[str, float] = {}
    with _told("METRIC=NUMBER"):
        for name, value in read_scalars(pairs, what="a metric").items():
            if isinstance(value, bool | str):
                raise ValueError(f"{name} is a number, not {value!r}")
            found[name] = value
    return found


def read_limits(pairs: Sequence[str]) -> dict[str, float | None]:
    """Return `max_trials=100 timeout_s=null` as limits.

    Raises:
        typer.BadParameter: one is neither a number nor null.
    """
    found: dict[str, float | None] = {}
    with _told("--budget"):
        for name, value in read_scalars(pairs, what="a limit").items():
            if isinstance(value, bool) or (isinstance(value, str) and value != "null"):
                raise ValueError(f"{name} is a number, or null for no limit, not {value!r}")
            found[name] = None if isinstance(value, str) else value
    return found


def read_labels(pairs: Sequence[str]) -> dict[str, str]:
    """Return `team:vision` as a key and its value.

    Raises:
        typer.BadParameter: one is no pair, or stands there twice.
    """
    with _told("--label"):
        return read_pairs(pairs, ":", what="a label")


@contextmanager
def _told(option: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
