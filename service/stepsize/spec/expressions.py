"""Constraints as text: `batch_size * grad_accumulation <= 512`.

A comparison of two sums over names and numbers, and nothing else; read by a small grammar, never by `eval`:

    comparison = sum ("<=" | "<" | ">=" | ">" | "==" | "!=") sum
    sum        = product (("+" | "-") product)*
    product    = factor (("*" | "/") factor)*
    factor     = number | name | "-" factor | "(" sum ")"
    name       = letters, digits and _; or any characters in backticks: `val loss`, `optimizer.lr` (two for one inside)
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from stepsize.spec.space import Scalar

_MAX_DEPTH = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<quoted>`(?:[^`]|``)+`)|(?P<symbol><=|>=|==|!=|[<>+\-*/()]))"
)
QUOTING = "a name with spaces, dots or other signs stands in backticks, as in `val loss` <= 1"
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
_TOLERANCE_FRAC = 1e-12
"""Of the larger side: closer sides are the same, for 0.1 + 0.2 is a little more than 0.3. Whole numbers are exact."""
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}

_Value = Callable[[Mapping[str, Scalar]], float]
"""A part of an expression, given values for its names."""


class ExpressionError(ValueError):
    """The text is no constraint; the message shows where."""


@dataclass(frozen=True)
class Expression:
    """A constraint that was read."""

    text: str
    names: tuple[str, ...]
    """Every name it mentions, once, in the order of first mention."""
    _holds: Callable[[Mapping[str, Scalar]], bool]

    @classmethod
    def parse(cls, text: str) -> "Expression":
        """Read a constraint.

        Raises:
            ExpressionError: says what is wrong, and at which character.
        """
        parser = _Parser(text)
        holds = parser.comparison()
        return cls(text, tuple(parser.names), holds)

    def holds(self, values: Mapping[str, Scalar]) -> bool | None:
        """Tell whether the constraint holds; None: a name has no value here, or one that is no number.

        A division by zero or an overflow holds nothing.
        """
        if not all(is_number(values.get(name)) for name in self.names):
            return None
        try:
            return self._holds(values)
        except (ZeroDivisionError, OverflowError):
            return False


def is_number(value: Scalar | None) -> bool:
    """Tell whether a constraint can be about this value: a finite number, and no truth value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _evened(left: float, right: float) -> tuple[float, float]:
    """Return two sides of a comparison, made the same where rounding alone sets them apart."""
    is_exact = float(left).is_integer() and float(right).is_integer()
    return (left, left) if not is_exact and math.isclose(left, right, rel_tol=_TOLERANCE_FRAC) else (left, right)


class _Parser:
    """Reads one text from left to right."""

    def __init__(self, text: str) -> None:
        self.names: dict[str, None] = {}
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0
        self._depth = 0

    def comparison(self) -> Callable[[Mapping[str, Scalar]], bool]:
        left = self._sum()
        symbol = self._take(*_COMPARISONS)
        if symbol is None:
            raise self._error(f"a comparison is expected: <=, <, >=, >, == or !={self._quoting()}")
        compare, right = _COMPARISONS[symbol], self._sum()
        if self._next < len(self._tokens):
            more = self._quoting() or "; what must hold together is two constraints"
            raise self._error(f"nothing more is expected{more}")
        return lambda values: compare(*_evened(left(values), right(values)))

    def _sum(self) -> _Value:
        return self._chain(self._product, "+", "-")

    def _product(self) -> _Value:
        return self._chain(self._factor, "*", "/")

    def _chain(self, part: Callable[[], _Value], *symbols: str) -> _Value:
        value = part()
        while symbol := self._take(*symbols):
            value = _apply(_ARITHMETIC[symbol], value, part())
        return value

    def _factor(self) -> _Value:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} levels deep")
        try:
            if self._take("-"):
                inner = self._factor()
                return lambda values: -inner(values)
            if self._take("("):
                return self._parenthesis()
            return self._atom()
        finally:
            self._depth -= 1

    def _parenthesis(self) -> _Value:
        inner = self._sum()
        if not self._take(")"):
            raise self._error("a closing parenthesis is missing")
        return inner

    def _atom(self) -> _Value:
        kind, token, _ = self._tokens[self._next] if self._next < len(self._tokens) else ("end", "", 0)
        if kind == "number":
            self._next += 1
            number = float(token)
            if math.isinf(number):
                raise ExpressionError(f"{token} in {self._text!r} is larger than any number can be")
            return lambda values: number
        if kind == "name":
            self._next += 1
            self.names[token] = None
            return lambda values: float(values[token])
        raise self._error("a number, a name or a parenthesis is expected")

    def _take(self, *symbols: str) -> str | None:
        if self._next < len(self._tokens) and self._tokens[self._next][:2] in {("symbol", one) for one in symbols}:
            self._next += 1
            return self._tokens[self._next - 1][1]
        return None

    def _quoting(self) -> str:
        """Return how to write a name with spaces, where two names stand side by side."""
        around = self._tokens[max(self._next - 1, 0) : self._next + 1]
        return f"; {QUOTING}" if [kind for kind, _, _ in around] == ["name", "name"] else ""

    def _error(self, what: str) -> ExpressionError:
        at = self._tokens[self._next][2] if self._next < len(self._tokens) else len(self._text)
        return ExpressionError(f"{what} at character {at + 1} of {self._text!r}")


def _apply(operate: Callable[[float, float], float], left: _Value, right: _Value) -> _Value:
    return lambda values: operate(left(values), right(values))


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield (kind, token, position) of each token."""
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            wrong = len(text) - len(text[at:].lstrip())
            if text[wrong] == "=":
                raise ExpressionError(f"'=' at character {wrong + 1} of {text!r}: write == for equal")
            raise ExpressionError(
                f"{text[wrong]!r} at character {wrong + 1} of {text!r} is nothing a constraint may hold; "
                f"use names, numbers, + - * / ( ) and one comparison; {QUOTING}"
            )
        kind = match.lastgroup
        assert kind is not None, "one of the groups has matched"
        if kind == "quoted":
            yield "name", match[kind][1:-1].replace("``", "`"), match.start(kind)
        else:
            yield kind, match[kind], match.start(kind)
        at = match.end()


def _check(text: str) -> str:
    if not Expression.parse(text).names:
        raise ExpressionError(f"{text!r} names no parameter and no metric")
    return text


Constraint = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_check)]
"""The text of an expression that parses and is about something."""
