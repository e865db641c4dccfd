"""Filters and sorts as clients write them."""

import pytest

from stepsize.application.filters import parse_filter, parse_job_sort, parse_labels, parse_sort
from stepsize.errors import InvalidRequestError
from stepsize.store.listing import Comparison, Condition, Field, Sort


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        (
            "params.learning_rate>=1e-3",
            Condition(Field("params", "learning_rate"), Comparison.GREATER_OR_EQUAL, "1e-3", 0.001),
        ),
        ("values.acc>0.9", Condition(Field("values", "acc"), Comparison.GREATER, "0.9", 0.9)),
        ("params.optimizer=sgd", Condition(Field("params", "optimizer"), Comparison.EQUAL, "sgd", None)),
        ("params.optimizer!=sgd", Condition(Field("params", "optimizer"), Comparison.NOT_EQUAL, "sgd", None)),
        ("params.a.b = x=y", Condition(Field("params", "a.b"), Comparison.EQUAL, "x=y", None)),
        ("number<=3", Condition(Field("number"), Comparison.LESS_OR_EQUAL, "3", 3.0)),
    ],
)
def test_a_filter_is_read(text: str, condition: Condition) -> None:
    assert parse_filter(text) == condition


@pytest.mark.parametrize(
    "text",
    [
        "",
        "params.x",
        "x>1",
        "params.>1",
        "params.x>abc",
        "params.x>nan",
        "params.x>inf",
        "params.x>1e999",
        "number=abc",
    ],
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_filter(text)
    assert caught.value.errors[0].pointer == "?filter"


def test_a_sort_is_read() -> None:
    assert parse_sort("-values.loss") == Sort(Field("values", "loss"), descending=True)
    assert parse_sort("duration_s") == Sort(Field("duration_s"))
    assert parse_job_sort("-priority") == ("priority", True)


def test_an_unknown_sort_names_the_nearest() -> None:
    with pytest.raises(InvalidRequestError, match="did you mean 'duration_s'"):
        parse_sort("duration")
    with pytest.raises(InvalidRequestError, match="did you mean 'priority'"):
        parse_job_sort("prioritty")


def test_labels_are_split_at_the_first_colon() -> None:
    assert parse_labels(["team:vision", "url:http://x"]) == {"team": "vision", "url": "http://x"}
    with pytest.raises(InvalidRequestError):
        parse_labels(["team"])
