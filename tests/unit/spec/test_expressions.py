"""The grammar of constraints: what it reads, what it refuses and where, and that it runs nothing."""

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from stepsize.spec.expressions import Constraint, Expression, ExpressionError

FINITE = st.floats(min_value=-1e6, max_value=1e6)
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def numbers(depth: int = 3) -> st.SearchStrategy[tuple[str, float]]:
    """Return texts of sums over `a`, `b` and numbers, and their values for a = 3, b = -2."""
    leaves = st.one_of(
        st.sampled_from([("a", 3.0), ("b", -2.0)]),
        st.integers(0, 99).map(lambda number: (str(number), float(number))),
    )

    def combine(inner: st.SearchStrategy[tuple[str, float]]) -> st.SearchStrategy[tuple[str, float]]:
        pairs = st.tuples(inner, st.sampled_from(sorted(OPERATORS)), inner)
        return pairs.map(lambda p: (f"({p[0][0]} {p[1]} {p[2][0]})", OPERATORS[p[1]](p[0][1], p[2][1])))

    return st.recursive(leaves, combine, max_leaves=2**depth)


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("batch_size * grad_accumulation <= 512", {"batch_size": 128, "grad_accumulation": 4}, True),
        ("batch_size * grad_accumulation <= 512", {"batch_size": 128, "grad_accumulation": 5}, False),
        ("1 - 2 - 3 == -4", {}, True),
        ("8 / 4 / 2 == 1", {}, True),
        ("2 + 3 * 4 == 14", {}, True),
        ("-(2 + 3) * 4 < -19.5e0", {}, True),
        ("--1 == 1", {}, True),
        ("a != 1", {"a": 1.0}, False),
        ("a > 1e-3", {"a": 1e-3}, False),
        ("a >= .5", {"a": 0.5}, True),
        ("a + b <= 0.3", {"a": 0.1, "b": 0.2}, True),
        ("a + b == 0.3", {"a": 0.1, "b": 0.2}, True),
        ("a + b != 0.3", {"a": 0.1, "b": 0.2}, False),
        ("a + b > 0.3", {"a": 0.1, "b": 0.2}, False),
        ("3 * a < 0.3", {"a": 0.1}, False),
        ("a == 0.3", {"a": 0.3000001}, False),
        ("a < b", {"a": 2**53 - 1, "b": 2**53}, True),
        ("a == 0", {"a": 1e-300}, False),
        ("`val loss` <= 1", {"val loss": 0.5}, True),
        ("2 * `optimizer.lr` < `optimizer.lr` + a", {"optimizer.lr": 0.5, "a": 0.1}, False),
        ("`a` == a", {"a": 1.0}, True),
        ("`<=` <= 1", {"<=": 2.0}, False),
        ("`a``b`>0", {"a`b": 1.0}, True),
        ("`naïve 损失` > 0", {"naïve 损失": 1.0}, True),
    ],
)
def test_a_constraint_means_what_arithmetic_says(text: str, values: dict[str, float], holds: bool) -> None:
    assert Expression.parse(text).holds(values) is holds


@given(numbers(), numbers())
def test_both_sides_are_computed_as_written(left: tuple[str, float], right: tuple[str, float]) -> None:
    expression = Expression.parse(f"{left[0]} <= {right[0]}")
    assert expression.holds({"a": 3, "b": -2}) is (left[1] <= right[1])


@pytest.mark.parametrize("value", [None, "sgd", True, math.nan, math.inf])
def test_what_is_no_number_leaves_a_constraint_unjudged(value: object) -> None:
    values = {} if value is None else {"a": value}
    assert Expression.parse("a <= 1").holds(values) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "a"), [("1 / a > 0", 0), ("a * a > 0", 10**200), ("a > 0", 10**400)])
def test_what_cannot_be_computed_holds_nothing(text: str, a: int) -> None:
    # 10**400 has no float; 1e200 squared is infinite, which is above 0 indeed.
    assert Expression.parse(text).holds({"a": a}) is (text == "a * a > 0")


@pytest.mark.parametrize(
    ("text", "at", "what"),
    [
        ("", 1, "a number, a name or a parenthesis is expected"),
        ("a + 1", 6, "a comparison is expected"),
        ("a <=", 5, "a number, a name or a parenthesis is expected"),
        ("(a <= 1", 4, "a closing parenthesis is missing"),
        ("a <= 1 <= 2", 8, "nothing more is expected"),
        ("a <= 1 2", 8, "nothing more is expected"),
        ("a = 1", 3, "write == for equal"),
        ("0 < a < 1", 7, "what must hold together is two constraints"),
        ("a < 1 and b > 3", 7, "what must hold together is two constraints"),
        ("a ** 2 <= 1", 4, "a number, a name or a parenthesis is expected"),
        ("a.b <= 1", 2, "is nothing a constraint may hold"),
        ("f(a) <= 1", 2, "a comparison is expected"),
        ("a <= '1'", 6, "is nothing a constraint may hold"),
        ("a[0] <= 1", 2, "is nothing a constraint may hold"),
    ],
)
def test_an_error_says_what_is_wrong_and_at_which_character(text: str, at: int, what: str) -> None:
    with pytest.raises(ExpressionError, match="at character") as caught:
        Expression.parse(text)
    assert what in str(caught.value)
    assert f"at character {at} of" in str(caught.value)


def test_a_number_beyond_all_numbers_is_refused() -> None:
    with pytest.raises(ExpressionError, match="1e999 in 'a <= 1e999' is larger than any number can be"):
        Expression.parse("a <= 1e999")


@pytest.mark.parametrize("opening", ["(", "-"])
def test_nesting_is_bounded(opening: str) -> None:
    closing = ")" if opening == "(" else ""
    assert Expression.parse(f"{opening * 49}1{closing * 49} != 0").holds({}) is True
    with pytest.raises(ExpressionError, match="levels deep"):
        Expression.parse(f"{opening * 10_000}1{closing * 10_000} != 0")


def test_the_longest_constraint_can_be_evaluated() -> None:
    text = "+".join(["a"] * 248) + "<=9"
    TypeAdapter(Constraint).validate_python(text)
    assert Expression.parse(text).holds({"a": 0.01}) is True


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        Expression.parse(text)
    except ExpressionError:
        return


@pytest.mark.parametrize("text", ["__import__('os').system('true') <= 1", "exit() <= 1", "(lambda: 1)() <= 1", "a:=1"])
def test_code_is_no_constraint(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Constraint).validate_python(text)


def test_names_come_once_in_the_order_of_first_mention() -> None:
    assert Expression.parse("b + a * b <= c").names == ("b", "a", "c")


@pytest.mark.parametrize(
    "text", ["val loss <= 1", "optimizer.lr < 1", "1 > val loss", "lr/decay rate < 2", "val-loss# < 1", "a$b <= 1"]
)
def test_a_name_that_needs_backticks_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(ExpressionError, match="stands in backticks, as in `val loss` <= 1"):
        Expression.parse(text)


@pytest.mark.parametrize("text", ["`a <= 1", "`` <= 1", "`a`b` <= 1"])
def test_backticks_that_do_not_pair_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="at character"):
        Expression.parse(text)
