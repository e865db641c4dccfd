"""What a trial may say, whoever says it: a trainer in a slot, a program, a client that trains elsewhere.

The one home of these limits and of how text is cleaned: the slot process, the worker at the other end of the pipe and
the API check against the same ones.
"""

import math
import re
from collections.abc import Mapping
from typing import SupportsIndex

from stepsize.spec import base

LARGEST = 1e308
"""Numbers from here on count as infinite: an average of two of them already is."""
LARGEST_STEP = 2**63 - 1
"""What both databases can keep."""
LONGEST_NAME = base.LONGEST_NAME
MOST_METRICS = 1000
LONGEST_MESSAGE = 2000
LONGEST_HASH = 64
MOST_ARTIFACTS = 1000
LONGEST_PATH = 500
"""Of an artifact, below its trial's directory."""

_NO_CHARACTER = "\ufffd"
# Beside C, Python and JavaScript: Microsoft's C (`1.#QNAN`), Julia (`NaN32`), Scheme (`+inf.0`), .NET (`∞`).
_NON_FINITE = re.compile(
    r"""(?P<sign>[-+]?)(?:
        (?P<nan> s?nan(?:\(\w*\)|\.0|16|32)? | 1\.?\#(?:qnan|snan|ind)\d* )
      | (?P<infinite> inf(?:inity|\.0|16|32)? | 1\.?\#inf\d* | ∞ )
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def is_text(value: str) -> bool:
    """Tell whether a database can store a string: PostgreSQL knows no NUL, and no database lone surrogates."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def clean_text(value: object, longest: int = LONGEST_MESSAGE) -> str:
    """Return text for people that any database and any JSON reader can take, whatever it is made from."""
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - an exception's own words, for one, are code of whoever wrote it
        text = f"({type(value).__name__} that can't be shown)"
    text = text[:longest]
    return text if is_text(text) else "".join(character if is_text(character) else _NO_CHARACTER for character in text)


def check_step(step: object) -> int:
    """Return a step as the record keeps it; a whole number may be written as a float.

    Raises:
        TypeError, ValueError: it is none.
    """
    try:
        whole = step.__index__() if isinstance(step, SupportsIndex) else _whole(step)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"step is {_shown(step)}, not a whole number") from error
    if not 0 <= whole <= LARGEST_STEP:
        raise ValueError(f"step is {_shown(whole)}; steps lie between 0 and 2**63 - 1")
    return whole


def check_name(name: object, *, what: str = "metric", longest: int = LONGEST_NAME) -> str:
    """Return the name of a metric or a file.

    Raises:
        TypeError, ValueError: it can't be one.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a {what} is {_shown(name)}, not text")
    if not name or len(name) > longest:
        raise ValueError(f"the name of a {what} has 1 to {longest} characters; this one has {len(name)}")
    if not is_text(name):
        raise ValueError(f"the name of a {what} can't hold the NUL character or half a surrogate pair: {_shown(name)}")
    return str(name)


def non_finite(word: str) -> float | None:
    """Return NaN or the infinity that programs spell like this, None if it is a finite number or none."""
    match = _NON_FINITE.fullmatch(word.strip())
    if match is None:
        return None
    return math.nan if match["nan"] else -math.inf if match["sign"] == "-" else math.inf


def as_number(name: str, value: object) -> float:
    """Return a metric's value, infinite where it is too large for a float; scalars of any library are numbers.

    Text is none, unless it spells NaN or infinity: JSON has no other way to write these.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, str) and (number := non_finite(value)) is not None:
        return number
    if isinstance(value, str | bytes | bytearray):  # `float` would read them
        raise TypeError(f"{name} is the text {_shown(value)}, not a number")
    try:
        return float(value)  # type: ignore[arg-type] # also numpy's and torch's scalars
    except OverflowError:
        return math.copysign(math.inf, 1 if value > 0 else -1)  # type: ignore[operator] # a whole number, then
    except Exception as error:  # whatever the conversion of an object of another library raises
        raise TypeError(f"{name} is {_shown(value)}, not a number") from error


def check_values(values: object) -> dict[str, float]:
    """Return what a report has measured, by the names of the metrics.

    Raises:
        TypeError, ValueError: it can't be taken.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f'values is {_shown(values)}, not numbers by name such as {{"loss": 0.4}}')
    if len(values) > MOST_METRICS:
        raise ValueError(f"a report has at most {MOST_METRICS} values, not {len(values)}")
    return {check_name(name): as_number(name, value) for name, value in values.items()}


def is_finite(number: float) -> bool:
    """Tell whether a number may enter a search; false for NaN too."""
    return -LARGEST < number < LARGEST


def _whole(step: object) -> int:
    number = float(step)  # type: ignore[arg-type] # also numpy's and torch's scalars
    if not number.is_integer() or isinstance(step, str):
        raise ValueError
    return int(number)


def _shown(value: object) -> str:
    try:
        return clean_text(ascii(value), 100)
    except Exception:  # noqa: BLE001 - code of whoever wrote its class; and a long whole number has no digits
        return f"a {type(value).__name__}"
