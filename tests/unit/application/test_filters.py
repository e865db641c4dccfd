"""Filters and sorts as clients write them."""

import pytest

from stepsize.application.filters import parse_filter, parse_job_sort, parse_labels, parse_sort
from stepsize.errors import InvalidRequestError
from stepsize.store.documents import boolean_text
from stepsize.store.listing import Comparison, Condition, Field, Sort


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        (
            "params.learning_rate>=1e-3",
            Condition(Field("params", "learning_rate"), Comparison.GREATER_OR_EQUAL, 0.001, ("1e-3",)),
        ),
        ("values.acc>0.9", Condition(Field("values", "acc"), Comparison.GREATER, 0.9, ("0.9",))),
        ("params.optimizer=sgd", Condition(Field("params", "optimizer"), Comparison.EQUAL, None, ("sgd",))),
        ("params.optimizer!=sgd", Condition(Field("params", "optimizer"), Comparison.NOT_EQUAL, None, ("sgd",))),
        ("params.a.b = x=y", Condition(Field("params", "a.b"), Comparison.EQUAL, None, ("x=y",))),
        ("number<=3", Condition(Field("number"), Comparison.LESS_OR_EQUAL, 3.0, ("3",))),
        ("params.k=a b, 'c'", Condition(Field("params", "k"), Comparison.EQUAL, None, ("a b, 'c'",))),
        ('params.k="1"', Condition(Field("params", "k"), Comparison.EQUAL, None, ("1",))),
        ('params.k=" a\\u00e9\\""', Condition(Field("params", "k"), Comparison.EQUAL, None, (' aé"',))),
        ('params.k="a" or b', Condition(Field("params", "k"), Comparison.EQUAL, None, ('"a" or b',))),
        ("params.k=true", Condition(Field("params", "k"), Comparison.EQUAL, None, ("true", boolean_text(True)))),
        ('params.k="true"', Condition(Field("params", "k"), Comparison.EQUAL, None, ("true",))),
        ("values.`a<b` > 1", Condition(Field("values", "a<b"), Comparison.GREATER, 1.0, ("1",))),
        ("params.`a``=b`!=1", Condition(Field("params", "a`=b"), Comparison.NOT_EQUAL, 1.0, ("1",))),
        ("values.val loss<1", Condition(Field("values", "val loss"), Comparison.LESS, 1.0, ("1",))),
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
        "values.x=abc",
        'values.x="1"',
        "values.x<>1",
    ],
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_filter(text)
    assert caught.value.errors[0].pointer == "?filter"


def test_who_filters_by_state_is_told_where_states_are_asked_for() -> None:
    with pytest.raises(InvalidRequestError, match="state=failed"):
        parse_filter("state=failed")


def test_a_bare_name_is_told_how_parameters_and_metrics_are_written() -> None:
    with pytest.raises(InvalidRequestError, match=r"a parameter is params\.batch_size, a metric values\.batch_size"):
        parse_filter("batch_size=64")


def test_a_sort_is_read() -> None:
    assert parse_sort("-values.loss") == Sort(Field("values", "loss"), descending=True)
    assert parse_sort("-values.`val loss`") == Sort(Field("values", "val loss"), descending=True)
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
