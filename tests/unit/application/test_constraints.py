"""Constraints at submission: what they may name, what they leave of a space, what they refuse."""

from typing import Any

import pytest

from stepsize.application.catalogue import make_catalogue
from stepsize.application.submission import Resolution, resolve
from stepsize.errors import InvalidRequestError
from stepsize.spec.constraints import broken_outcome, parameter_rule
from stepsize.spec.job import JobSpec
from tests.builders import make_card

CARD = make_card(
    "net",
    params_schema={
        "type": "object",
        "properties": {
            "learning_rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.01},
            "batch_size": {"type": "integer", "minimum": 1, "default": 32},
            "accumulation": {"type": "integer", "minimum": 1, "default": 2},
            "optimizer": {"type": "string", "enum": ["sgd", "adam"], "default": "sgd"},
            "momentum": {"type": "number", "default": 0.9, "x-when": {"optimizer": ["sgd"]}},
        },
    },
    metrics=[{"name": "loss", "direction": "minimize"}, {"name": "train_time_s"}, {"name": "test_loss"}],
)
BATCHES = {"batch_size": {"type": "categorical", "choices": [32, 64, 128]}}
PAIRS = {**BATCHES, "accumulation": {"type": "int", "low": 1, "high": 4}}


def _resolve(params: dict[str, Any] | None = None, **fields: Any) -> Resolution:
    spec = JobSpec.model_validate({"trainer": {"name": "net", "params": params or {}}, **fields})
    return resolve(spec, make_catalogue([CARD], []))


def _errors(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        _resolve(**fields)
    return {error.pointer: error.message for error in caught.value.errors}


def test_names_in_parameter_constraints_are_the_trainers_parameters() -> None:
    errors = _errors(parameter_constraints=["batch_size <= 64", "batchsize <= 64"])
    assert errors == {"/parameter_constraints/1": "net has no parameter 'batchsize'; did you mean 'batch_size'?"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"params": {"optimizer": "adam"}},
        {"search_space": {"optimizer": {"type": "categorical", "choices": ["sgd", "adam"]}}},
    ],
)
def test_parameters_in_constraints_are_numbers(fields: dict[str, Any]) -> None:
    errors = _errors(parameter_constraints=["optimizer <= 1"], **fields)
    assert "constraints are about numbers" in errors["/parameter_constraints/0"]


def test_a_parameter_that_never_applies_is_refused_in_a_constraint() -> None:
    errors = _errors(params={"optimizer": "adam"}, parameter_constraints=["momentum <= 1"])
    assert "momentum applies only when optimizer is 'sgd'" in errors["/parameter_constraints/0"]


def test_a_worker_knows_the_defaults_that_constraints_name() -> None:
    resolution = _resolve(search_space=BATCHES, parameter_constraints=["batch_size * accumulation <= 128"])
    assert resolution.spec.trainer.params["accumulation"] == 2
    again = resolve(resolution.spec, make_catalogue([CARD], []))
    assert again.spec == resolution.spec


def test_enqueued_configurations_that_break_a_constraint_are_refused() -> None:
    errors = _errors(
        search_space=PAIRS,
        parameter_constraints=["batch_size * accumulation <= 128"],
        enqueue=[{"batch_size": 64, "accumulation": 2}, {"batch_size": 64, "accumulation": 3}, {"batch_size": 128}],
    )
    broken = "batch_size * accumulation <= 128: batch_size was 64, accumulation was 3"
    assert errors == {"/enqueue/1": f"this configuration breaks the constraint {broken}"}


def test_a_grid_counts_the_cells_its_constraints_allow() -> None:
    resolution = _resolve(
        search_space=PAIRS, sampler={"name": "grid"}, parameter_constraints=["batch_size * accumulation <= 128"]
    )
    # 32 with 1 to 4, 64 with 1 and 2, 128 with 1
    assert resolution.total_cells == resolution.spec.budget.max_trials == 7


def test_a_grid_whose_constraints_allow_no_cell_is_refused() -> None:
    errors = _errors(search_space=PAIRS, sampler={"name": "grid"}, parameter_constraints=["batch_size < 32"])
    assert errors == {"/parameter_constraints": "no cell of the grid satisfies them"}


@pytest.mark.parametrize(("constraint", "warns"), [("learning_rate > 2", True), ("learning_rate > 0.1", False)])
def test_a_space_where_no_random_configuration_is_allowed_is_warned_of(constraint: str, warns: bool) -> None:
    warnings = _resolve(parameter_constraints=[constraint]).warnings
    assert any("random configurations" in warning for warning in warnings) is warns


def test_a_huge_range_of_whole_numbers_is_drawn_from_not_listed() -> None:
    space = {"batch_size": {"type": "int", "low": 1, "high": 10**12}}
    assert _resolve(search_space=space, parameter_constraints=["batch_size > 5"]).warnings == ()


def test_conditional_parameters_are_judged_where_they_apply() -> None:
    rule = parameter_rule(["momentum <= 0.5"], fixed={})
    assert rule({"optimizer": "adam"})
    assert rule({"optimizer": "sgd", "momentum": 0.5})
    assert not rule({"optimizer": "sgd", "momentum": 0.6})


def test_names_in_outcome_constraints_are_metrics_and_none_of_the_test_data() -> None:
    errors = _errors(outcome_constraints=["train_time <= 60", "test_loss < 1", "train_time_s <= 60"])
    assert errors == {
        "/outcome_constraints/0": "net doesn't report 'train_time'; did you mean 'train_time_s'?",
        "/outcome_constraints/1": "test_loss is a test metric: constrain validation data, report on test data",
    }


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ({"train_time_s": 60.0, "loss": 1.0}, None),
        ({"train_time_s": 75.2, "loss": 1.0}, "train_time_s <= 60: it was 75.2"),
        ({"train_time_s": 1.0, "loss": 70.5}, "loss + train_time_s < 70: loss was 70.5, train_time_s was 1"),
        ({"loss": 1.0}, "train_time_s <= 60: it was not reported"),
    ],
)
def test_a_broken_outcome_constraint_says_what_was_measured(values: dict[str, float], broken: str | None) -> None:
    assert broken_outcome(["train_time_s <= 60", "loss + train_time_s < 70"], values) == broken


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"pruner": {"name": "median"}}, "/pruner"),
        ({"replicates": {"top": 2}}, "/replicates"),
        ({"stop_when": {"terminator": True}}, "/stop_when/terminator"),
    ],
)
def test_what_needs_a_single_objective_is_refused_with_several(fields: dict[str, Any], pointer: str) -> None:
    objectives = [{"metric": "loss", "direction": "minimize"}, {"metric": "train_time_s", "direction": "minimize"}]
    errors = _errors(objectives=objectives, **fields)
    assert list(errors) == [pointer]
    assert "needs a single objective" in errors[pointer]


def test_a_sampler_that_ignores_history_is_warned_of() -> None:
    warnings = _resolve(sampler={"name": "random"}, warm_start={"jobs": ["job-1"]}).warnings
    assert warnings == ("random does not learn from earlier trials; tpe and gp do",)


@pytest.mark.parametrize(
    ("range_", "constraint"),
    [
        ({"type": "float", "low": 0.1, "high": 0.3, "step": 0.1}, "learning_rate == 0.2"),
        ({"type": "float", "low": 0.05, "high": 1.0, "step": 0.05}, "learning_rate == 0.35"),
        ({"type": "float", "low": 0.1, "high": 0.3, "step": 0.1}, "10 * learning_rate == 3"),
    ],
)
def test_an_equation_that_a_step_meets_is_not_warned_of(range_: dict[str, Any], constraint: str) -> None:
    assert _resolve(search_space={"learning_rate": range_}, parameter_constraints=[constraint]).warnings == ()


def test_an_equation_that_no_step_meets_is_warned_of() -> None:
    range_ = {"type": "float", "low": 0.1, "high": 0.3, "step": 0.1}
    (warning,) = _resolve(
        search_space={"learning_rate": range_}, parameter_constraints=["learning_rate == 0.25"]
    ).warnings
    assert "none of 2000 random configurations" in warning
