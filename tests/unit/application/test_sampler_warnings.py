"""A job is told which of its parameters its sampler draws at random."""

import pytest

from stepsize.application.catalogue import make_catalogue
from stepsize.application.submission import resolve
from stepsize.spec.job import JobSpec
from tests.builders import make_card

SCHEMA = {
    "type": "object",
    "properties": {
        "learning_rate": {"type": "number", "default": 0.01},
        "optimizer": {"type": "string", "enum": ["sgd", "adam"], "default": "sgd"},
        "momentum": {"type": "number", "default": 0.9, "x-when": {"optimizer": ["sgd"]}},
    },
}
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
    "momentum": {"type": "float", "low": 0.0, "high": 0.9},
}


def warnings_of(sampler: str) -> str:
    body = {"trainer": {"name": "net"}, "search_space": SPACE, "sampler": {"name": sampler}}
    card = make_card("net", params_schema=SCHEMA)
    return "\n".join(resolve(JobSpec.model_validate(body), make_catalogue([card], [])).warnings)


@pytest.mark.parametrize("sampler", ["gp", "cmaes", "nsgaii"])
def test_conditional_parameters_drawn_at_random_are_named(sampler: str) -> None:
    assert f"{sampler} can't model conditional parameters; it draws them at random: momentum" in warnings_of(sampler)


def test_categorical_parameters_drawn_at_random_are_named() -> None:
    assert "cmaes can't model categorical parameters; it draws them at random: optimizer" in warnings_of("cmaes")


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_sampler_that_models_everything_warns_of_nothing(sampler: str) -> None:
    assert "at random" not in warnings_of(sampler)
