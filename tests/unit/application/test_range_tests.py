"""What a range test's submission becomes, what it is refused for, and which one a tuning job needs."""

from typing import Any

import pytest

from stepsize.application.catalogue import Catalogue, built_in_cards, make_catalogue
from stepsize.application.range_tests import plan_for, plan_warnings, resolve, spread_batch_sizes
from stepsize.application.submission import resolve as resolve_job
from stepsize.domain.trainer import TrainerCard
from stepsize.errors import InvalidRequestError
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec
from stepsize.spec.space import CategoricalParameter, IntParameter
from tests.builders import make_card, make_spec


def _card(**changes: Any) -> TrainerCard:
    properties = {
        "learning_rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 100, "default": 0.01},
        "batch_size": {"type": "integer", "minimum": 1, "maximum": 1024, "default": 32},
        "optimizer": {"type": "string", "enum": ["sgd", "adam"], "default": "sgd"},
        "momentum": {"type": "number", "minimum": 0, "default": 0.9, "x-when": {"optimizer": ["sgd"]}},
        "width": {"type": "integer", "minimum": 1, "default": 32},
    }
    body = {"params_schema": {"type": "object", "properties": properties}, "capabilities": {"range_test": True}}
    return make_card("net", **(body | changes))


def _catalogue(card: TrainerCard | None = None) -> Catalogue:
    return make_catalogue([card or _card()], [])


def _resolve(card: TrainerCard | None = None, params: dict[str, Any] | None = None, **fields: Any) -> RangeTestSpec:
    spec = RangeTestSpec.model_validate({"trainer": {"name": "net", "params": params or {}}, **fields})
    return resolve(spec, _catalogue(card))


def _errors(card: TrainerCard | None = None, **fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        _resolve(card, **fields)
    return {error.pointer: error.message for error in caught.value.errors}


def _plan(params: dict[str, Any] | None = None, card: TrainerCard | None = None, **space: Any) -> RangeTestSpec | None:
    space.setdefault("learning_rate", {"type": "float", "range_test": True})
    body = {"trainer": {"name": "net", "params": params or {}}, "search_space": space, "sampler": {"name": "random"}}
    spec = resolve_job(JobSpec.model_validate(body), _catalogue(card)).spec
    return plan_for(spec, _catalogue(card))


def test_every_default_is_written_back_and_resolves_to_itself() -> None:
    spec = _resolve()
    assert (spec.low, spec.high, spec.steps, spec.seeds, spec.rule) == (1e-7, 10.0, 100, 3, None)
    assert spec.batch_sizes == [32]
    assert spec.trainer.version == "1"
    assert spec.seed is not None
    assert resolve(spec, _catalogue()) == spec


def test_a_fixed_batch_size_is_the_one_to_test() -> None:
    spec = _resolve(params={"batch_size": 64, "optimizer": "adam"})
    assert spec.batch_sizes == [64]
    assert spec.trainer.params == {"optimizer": "adam", "width": 32}


def test_a_trainer_without_batch_sizes_is_tested_as_it_is() -> None:
    card = _card(params_schema={"type": "object", "properties": {"learning_rate": {"type": "number"}}})
    assert _resolve(card).batch_sizes is None
    assert "has no parameter" in _errors(card, batch_sizes=[32])["/batch_sizes"]


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"batch_sizes": [32, 2048]}, "/batch_sizes/1", "must be at most 1024"),
        ({"batch_sizes": [0]}, "/batch_sizes/0", "must be at least 1"),
        ({"batch_sizes": [32, 32]}, "/batch_sizes/1", "already"),
        ({"batch_sizes": [16], "params": {"batch_size": 32}}, "/trainer/params/batch_size", "not both"),
        ({"params": {"widht": 3}}, "/trainer/params/widht", "did you mean 'width'?"),
        ({"params": {"optimizer": "adam", "momentum": 0.5}}, "/trainer/params/momentum", "applies only when"),
        ({"high": 1000.0}, "/high", "must be at most 100"),
        ({"resources": {"gpus": 2}}, "/resources/gpus", "not offered"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], pointer: str, words: str) -> None:
    assert words in _errors(**fields)[pointer]


def test_a_trainer_without_the_capability_is_refused() -> None:
    assert "has no range test" in _errors(_card(capabilities={}))["/trainer/name"]


def test_a_job_with_all_its_bounds_needs_no_range_test() -> None:
    assert _plan(learning_rate={"type": "float", "low": 1e-4, "high": 1.0, "log": True}) is None


def test_a_job_is_tested_at_up_to_five_powers_of_two() -> None:
    plan = _plan(batch_size={"type": "int", "low": 16, "high": 1024, "powers_of_two": True})
    assert plan is not None
    assert plan.batch_sizes == [16, 64, 128, 256, 1024]
    assert (plan.low, plan.high) == (1e-7, 10.0)


@pytest.mark.parametrize(
    ("low", "high", "sizes"),
    [
        (16, 64, [16, 32, 64]),
        (17, 100, [32, 64]),
        (1, 1, [1]),
        (33, 40, [33, 40]),
        (1, 1024, [1, 4, 32, 256, 1024]),
        (8, 128, [8, 16, 32, 64, 128]),
    ],
)
def test_batch_sizes_of_a_range(low: int, high: int, sizes: list[int]) -> None:
    assert spread_batch_sizes(IntParameter(type="int", low=low, high=high)) == sizes


def test_batch_sizes_of_a_categorical_are_its_choices() -> None:
    assert spread_batch_sizes(CategoricalParameter(type="categorical", choices=[48, 16])) == [48, 16]


def test_other_searched_parameters_are_held_at_their_default_or_next_to_it() -> None:
    plan = _plan(
        {"momentum": 0.5},
        optimizer={"type": "categorical", "choices": ["sgd"]},
        width={"type": "int", "low": 64, "high": 256},
    )
    assert plan is not None
    assert plan.trainer.params == {"momentum": 0.5, "optimizer": "sgd", "width": 64}
    assert plan.batch_sizes == [32]


def test_parameters_that_dont_apply_are_left_out() -> None:
    plan = _plan(
        optimizer={"type": "categorical", "choices": ["adam", "sgd"]},
        momentum={"type": "float", "low": 0.0, "high": 0.95, "when": {"optimizer": ["sgd"]}},
    )
    assert plan is not None
    assert plan.trainer.params == {"optimizer": "sgd", "momentum": 0.9, "width": 32}


def test_who_searches_choices_is_told_which_one_the_range_test_runs_with() -> None:
    space = {
        "learning_rate": {"type": "float", "range_test": True},
        "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
    }
    spec = make_spec(trainer={"name": "net", "version": "1"}, search_space=space)
    plan = plan_for(spec, _catalogue())
    assert plan is not None
    (warning,) = plan_warnings(spec, plan)
    assert "optimizer 'sgd'" in warning


def test_bounds_given_beside_a_range_test_are_where_it_sweeps() -> None:
    plan = _plan(learning_rate={"type": "float", "range_test": True, "low": 1e-5, "high": 1.0})
    assert plan is not None
    assert (plan.low, plan.high) == (1e-5, 1.0)
    with pytest.raises(InvalidRequestError) as caught:
        _plan(learning_rate={"type": "float", "range_test": True, "low": 50.0})
    assert caught.value.errors[0].pointer == "/search_space/learning_rate"


def test_a_trainers_own_limits_bound_the_sweep() -> None:
    properties = {"learning_rate": {"type": "number", "minimum": 1e-6, "maximum": 1, "default": 0.01}}
    card = _card(params_schema={"type": "object", "properties": properties})
    plan = _plan(card=card)
    assert plan is not None
    assert (plan.low, plan.high) == (1e-5, 1.0)  # of its default search space


def test_the_same_job_seed_gives_the_same_sweeps() -> None:
    body = {"trainer": {"name": "net"}, "search_space": {"learning_rate": {"type": "float", "range_test": True}}}
    plans = [plan_for(make_spec(**body, sampler={"name": "tpe", "seed": seed}), _catalogue()) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_the_built_in_trainers_have_a_range_test() -> None:
    catalogue = make_catalogue(built_in_cards(), [])
    for name in ("synthetic", "image_classifier"):
        spec = RangeTestSpec.model_validate({"trainer": {"name": name}})
        assert resolve(spec, catalogue).batch_sizes
