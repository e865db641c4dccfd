"""What the lines that a program prints mean: a report, an end, or nothing but output.

A report is one line of JSON, `{"step": 1, "values": {"loss": 0.4}}`; an end that is a result is
`{"infeasible": "diverged"}` or `"oom"`. A line that is meant as one and can't be taken is neither swallowed nor guessed
at: it is kept, with the reason, for whoever reads how the trial ended.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stepsize.domain.said import as_number, check_step, clean_text, non_finite

_LONGEST_QUOTE = 200
_LIKE_STEP = frozenset({"steps", "Step", "epoch", "epochs", "iteration", "iter", "global_step"})
_LIKE_VALUES = ("value", "Values", "vals", "metric", "metrics")
_MEANT_AS_ONE = re.compile(r"""(?=\{.*\bstep["']?\s*:)(?=\{.*\bvalues["']?\s*:)|\{\s*["']?infeasible["']?\s*:""")
_BARE_WORD = re.compile(r'("(?:[^"\\]|\\.)*")|([-+]?(?:[A-Za-z]|1\.?#)[A-Za-z0-9#.]*(?:\(\w*\))?|[-+]?∞)')
"""A string, to be left alone; or a word, a sign of infinity or one of the numbers that Microsoft's C prints."""


@dataclass(frozen=True)
class ReportLine:
    """A measurement."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class InfeasibleLine:
    """The program gives up: these parameters can't be trained."""

    reason: Literal["oom", "diverged"]
    message: str | None


@dataclass(frozen=True)
class NotTaken:
    """A line that is meant as one of these, and why it can't be taken."""

    line: str
    why: str

    def __str__(self) -> str:
        return f"{self.line} ({self.why})"


Line = ReportLine | InfeasibleLine | NotTaken


def read_line(raw: bytes) -> Line | None:
    """Return what a line means; None: nothing, it is output."""
    for part in raw.decode(errors="replace").split("\r"):  # a progress bar may stand before it
        if (line := _read(part.strip().removeprefix("\ufeff"))) is not None:
            return line
    return None


def _read(text: str) -> Line | None:
    if not text.startswith("{"):
        if _is_report(_decoded(text[text.find("{") :])):
            return NotTaken(_quoted(text), "a report stands alone on its line")
        return None
    try:
        message = _parse(text)
    except (ValueError, RecursionError) as error:
        return NotTaken(_quoted(text), f"not JSON: {clean_text(error, 100)}") if _MEANT_AS_ONE.match(text) else None
    if not isinstance(message, dict):
        return None
    if "infeasible" in message:
        return _read_end(message, text)
    return _read_report(message, text) if _is_report(message) else None


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return json.loads(_BARE_WORD.sub(_in_json, text))


def _in_json(found: "re.Match[str]") -> str:
    word = found[2]
    if word is None or (number := non_finite(word)) is None:
        return found[0]
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _is_report(message: object) -> bool:
    """Tell whether an object is meant as a report: one of its two names may be misspelt, or another tool's."""
    if not isinstance(message, dict):
        return False
    has_values = any(isinstance(message.get(name), dict) for name in _LIKE_VALUES)
    return ("step" in message and ("values" in message or has_values)) or (
        isinstance(message.get("values"), dict) and not _LIKE_STEP.isdisjoint(message)
    )


def _decoded(text: str) -> object:
    """Return the JSON that a text begins with, None if it doesn't."""
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None


def _read_end(message: Mapping[str, object], text: str) -> Line:
    reason, words = message["infeasible"], message.get("message")
    match reason:
        case "oom" | "diverged":
            return InfeasibleLine(reason, clean_text(words) if words else None)
        case _:
            return NotTaken(_quoted(text), 'infeasible is "oom" or "diverged"')


def _read_report(message: Mapping[str, object], text: str) -> Line:
    if missing := [name for name in ("step", "values") if name not in message]:
        return NotTaken(
            _quoted(text), f"it has no {missing[0]!r}, only {', '.join(map(repr, message))}"[:_LONGEST_QUOTE]
        )
    try:
        if isinstance(message["step"], bool):
            raise TypeError("step is a truth value, not a whole number")
        return ReportLine(check_step(message["step"]), _values(message["values"]))
    except (TypeError, ValueError) as error:
        return NotTaken(_quoted(text), clean_text(error))


def _values(values: object) -> dict[str, float]:
    if not isinstance(values, dict):
        raise TypeError("values is no object of names and numbers")
    # What is none in JavaScript, Rust and quick JSON writers was NaN or infinity.
    return {name: math.nan if value is None else as_number(name, value) for name, value in values.items()}


def _quoted(text: str) -> str:
    return clean_text(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…")
