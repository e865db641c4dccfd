"""The flat parameters: generated from the optimisers' and schedules' own classes."""

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from stepsize.spec.base import Spec
from stepsize.spec.optimizers import RAdam, Sgd, optimizer_types
from stepsize.spec.schedules import ExponentialSchedule, schedule_types
from stepsize_workers.training.params import TrainingParams, choice_fields

PROPERTIES = TrainingParams.model_json_schema()["properties"]


@pytest.mark.parametrize(("selector", "types"), [("optimizer", optimizer_types()), ("schedule", schedule_types())])
def test_every_parameter_of_every_choice_is_there_and_applies_to_those_that_have_it(
    selector: str, types: dict[str, type[Spec]]
) -> None:
    assert PROPERTIES[selector]["enum"] == list(types)
    for name, spec in types.items():
        for field in set(spec.model_fields) - {"name"}:
            applies_to = PROPERTIES[field].get("x-when", {selector: list(types)})
            assert name in applies_to[selector]
            own = spec.model_json_schema()["properties"][field]
            assert own == {key: value for key, value in PROPERTIES[field].items() if key != "x-when"}


def test_a_parameter_of_several_choices_names_them_all() -> None:
    assert PROPERTIES["gamma"]["x-when"] == {"schedule": ["step", "multi_step", "exponential", "cyclical"]}
    assert PROPERTIES["momentum"]["x-when"] == {"optimizer": ["sgd", "rmsprop", "muon"]}


def test_a_parameter_of_all_choices_is_unconditional() -> None:
    assert "x-when" not in PROPERTIES["warmup_frac"]


def test_the_chosen_classes_get_their_parameters() -> None:
    params = TrainingParams.model_validate(
        {"optimizer": "radam", "beta1": 0.5, "schedule": "exponential", "gamma": 0.7}
    )
    assert params.chosen_optimizer() == RAdam(beta1=0.5)
    assert params.chosen_schedule() == ExponentialSchedule(gamma=0.7)


def test_defaults_are_plain_sgd_at_a_constant_rate() -> None:
    params = TrainingParams.model_validate({})
    assert params.chosen_optimizer() == Sgd()
    assert params.schedule == "constant"


@pytest.mark.parametrize("wrong", [{"optimizer": "sdg"}, {"gamma": 2}, {"learning_rate": 0}, {"epoch": 3}])
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TrainingParams.model_validate(wrong)


class _Strong(Spec):
    name: Literal["strong"] = "strong"
    force: float = Field(default=1.0, ge=0)
    """How hard."""


class _Weak(Spec):
    name: Literal["weak"] = "weak"
    force: float = Field(default=0.1, ge=0)
    """How hard."""


def test_one_name_with_two_meanings_is_refused() -> None:
    with pytest.raises(TypeError, match="'weak' gives 'force' another meaning"):
        choice_fields("kind", {"strong": _Strong, "weak": _Weak}, default="weak", help_text="")
