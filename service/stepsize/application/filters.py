"""Filters and sorts of trials as they stand in a query: `params.learning_rate>=1e-3`, `-values.val_accuracy`.

A name with a sign of comparison in it stands in backticks, as in constraints: params.`a<b`=1 (two for one inside).
An operand in double quotes is a JSON string, and never a number or a truth value: params.kind="1".
"""

import json
import math
import re

from stepsize.errors import FieldError, InvalidRequestError
from stepsize.spec.hints import hint
from stepsize.store.documents import boolean_text
from stepsize.store.listing import (
    JOB_SORTS,
    TRIAL_COLUMN_FIELDS,
    TRIAL_DOCUMENT_FIELDS,
    Comparison,
    Condition,
    Field,
    Sort,
)

_CONDITION = re.compile(
    r"(?P<field>\w+\.`(?:[^`]|``)+`|[^<>=!]+?)\s*(?P<comparison>>=|<=|!=|=|>|<)\s*(?P<operand>.*)", re.DOTALL
)
_QUOTED = re.compile(r"`((?:[^`]|``)+)`", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_EQUALITIES = (Comparison.EQUAL, Comparison.NOT_EQUAL)
_PLACEHOLDERS = (*TRIAL_COLUMN_FIELDS, *(f"{document}.NAME" for document in TRIAL_DOCUMENT_FIELDS))


def parse_filter(text: str) -> Condition:
    """Return the condition a `filter` states.

    Raises:
        InvalidRequestError: it is none.
    """
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise _invalid("?filter", f"{text!r} is no condition; write FIELD=VALUE, or !=, <, <=, >, >= for =")
    field = _parse_field(match["field"], "?filter")
    comparison, operand = Comparison(match["comparison"]), match["operand"]
    if operand.startswith("="):
        raise _invalid("?filter", f"{text!r} is no condition; write one = for equal")
    if comparison is Comparison.LESS and operand.startswith(">"):
        raise _invalid("?filter", f"{text!r} is no condition; write != for not equal")
    number, quoted = _parse_number(operand), _parse_quoted(operand)
    if number is None and (comparison not in _EQUALITIES or field.column != "params"):
        raise _invalid("?filter", f"{operand!r} is no number, and {text!r} needs one")
    if quoted is not None:
        return Condition(field, comparison, texts=(quoted,))
    meant = {str(value).lower(): boolean_text(value) for value in (True, False)}
    return Condition(field, comparison, number, (operand, *(meant[one] for one in (operand,) if one in meant)))


def parse_sort(text: str) -> Sort:
    """Return the order a `sort` states; `-` in front is descending.

    Raises:
        InvalidRequestError: it names no field.
    """
    return Sort(_parse_field(text.removeprefix("-"), "?sort"), descending=text.startswith("-"))


def parse_job_sort(text: str) -> tuple[str, bool]:
    """Return the column jobs are to be sorted by and whether descending.

    Raises:
        InvalidRequestError: jobs can't be sorted so.
    """
    column = text.removeprefix("-")
    if column not in JOB_SORTS:
        raise _invalid("?sort", f"jobs can't be sorted by {column!r}; {hint(column, JOB_SORTS)}")
    return column, text.startswith("-")


def parse_labels(texts: list[str]) -> dict[str, str]:
    """Return the labels that `key:value` texts name.

    Raises:
        InvalidRequestError: one has no colon.
    """
    for text in texts:
        if ":" not in text:
            raise _invalid("?label", f"{text!r} is no label; write key:value")
    return {key: value for key, _, value in (text.partition(":") for text in texts)}


def _parse_field(text: str, pointer: str) -> Field:
    document, dot, entry = text.partition(".")
    if dot and entry and document in TRIAL_DOCUMENT_FIELDS:
        quoted = _QUOTED.fullmatch(entry)
        return Field(document, entry if quoted is None else quoted[1].replace("``", "`"))
    if text in TRIAL_COLUMN_FIELDS:
        return Field(text)
    if text == "state" and pointer == "?filter":
        raise _invalid(pointer, "states are asked for beside filters: state=failed, or --state failed in a command")
    spelt = "" if dot else f"; a parameter is params.{text}, a metric values.{text}"
    meant = hint(f"{document}.NAME" if dot else text, _PLACEHOLDERS)
    raise _invalid(pointer, f"trials have no field {text!r}; {meant}{spelt}")


def _parse_number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _parse_quoted(text: str) -> str | None:
    """Return the string that stands in double quotes; None: they are none, or what is in them is no JSON."""
    if not text.startswith('"'):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _invalid(pointer: str, message: str) -> InvalidRequestError:
    return InvalidRequestError([FieldError(pointer, message)])
