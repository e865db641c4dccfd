"""Specs as they are recorded: complete, and readable whatever a later version thinks of them."""

from typing import Any

import pytest
from pydantic import ValidationError

from stepsize.domain.tuning import TuningFindings
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec
from stepsize.spec.resolved import ResolvedJobSpec, recall
from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter
from tests.builders import make_spec

DOCUMENT = make_spec(
    search_space={
        "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
        "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
        "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
    },
    pruner={"name": "asha", "min_resource": 2},
).model_dump(mode="json")


@pytest.mark.parametrize(
    "left_open",
    [
        {"search_space": None},
        {"objectives": None},
        {"objectives": []},
        {"budget": {}},
        {"sampler": {"name": "tpe", "seed": None}},
    ],
)
def test_a_spec_that_leaves_something_open_is_not_resolved(left_open: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ResolvedJobSpec.model_validate(DOCUMENT | left_open)


def test_a_resolved_spec_is_a_spec_that_can_be_posted() -> None:
    assert JobSpec.model_validate(DOCUMENT).model_dump(mode="json") == DOCUMENT
    assert make_spec(sampler={"name": "tpe", "seed": 7}).seed == 7


def test_a_valid_record_is_read_as_it_is() -> None:
    assert recall(ResolvedJobSpec, DOCUMENT) == ResolvedJobSpec.model_validate(DOCUMENT)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("budget", "trial_timeout_s"), 5e-324),
        (("budget", "max_trials"), 10**9),
        (("priority",), 10**6),
        (("sampler", "n_startup_trials"), 0),
        (("pruner", "min_resource"), 0),
        (("search_space", "learning_rate", "step"), 5e-324),
        (("search_space", "batch_size", "high"), 2**60),
        (("search_space", "optimizer", "choices"), []),
        (("outcome_constraints",), ["not a constraint"]),
        (("labels", "team"), ""),
        (("resources", "cpus"), 10**6),
        (("dropped_since",), {"a": 1}),
    ],
)
def test_a_record_that_would_be_refused_today_is_read_all_the_same(path: tuple[str, ...], value: Any) -> None:
    document: Any = ResolvedJobSpec.model_validate(DOCUMENT | {"sampler": {"name": "tpe", "seed": 0}}).model_dump(
        mode="json"
    )
    at = document
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    with pytest.raises(ValidationError):
        ResolvedJobSpec.model_validate(document)

    spec = recall(ResolvedJobSpec, document)

    read = spec.model_dump(mode="json")
    assert read == {name: member for name, member in document.items() if name != "dropped_since"}
    assert isinstance(spec.search_space["learning_rate"], FloatParameter)
    assert isinstance(spec.search_space["batch_size"], IntParameter)
    assert isinstance(spec.search_space["optimizer"], CategoricalParameter)
    assert spec.objectives[0].direction == "minimize"
    assert spec.pruner.name == "asha"
    assert spec.seed == 0


def test_other_records_are_read_so_too() -> None:
    sweep = RangeTestSpec.model_validate({"trainer": {"name": "net"}, "seeds": 2}).model_dump(mode="json")
    assert recall(RangeTestSpec, sweep | {"steps": 10**6}).steps == 10**6
    found = {"search_space": {"learning_rate": {"type": "float", "low": 0.0, "high": 1.0, "step": 1e-300}}}
    space = recall(TuningFindings, found).search_space
    assert space is not None
    assert isinstance(space["learning_rate"], FloatParameter)
