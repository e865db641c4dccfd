"""What a submission becomes, and what it is refused for. Cards are built by hand: no worker, no database."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stepsize.application.catalogue import built_in_cards, make_catalogue
from stepsize.application.submission import DEFAULT_MAX_TRIALS, Resolution, resolve
from stepsize.domain.trainer import TrainerCard
from stepsize.errors import InvalidRequestError
from stepsize.spec.grid import grid_cells
from stepsize.spec.job import JobSpec
from stepsize.spec.samplers import GridSampler
from stepsize.spec.space import applies
from tests.builders import make_card, make_worker

OPTIMIZERS = ["sgd", "rmsprop", "adam"]


def _card(**changes: Any) -> TrainerCard:
    """Return a card with conditional parameters, like a real trainer's."""
    properties = {
        "learning_rate": {"type": "number", "exclusiveMinimum": 0, "maximum": 100, "default": 0.01},
        "batch_size": {"type": "integer", "minimum": 1, "maximum": 1024, "default": 32},
        "optimizer": {"type": "string", "enum": OPTIMIZERS, "default": "sgd"},
        "momentum": {"type": "number", "minimum": 0, "default": 0.9, "x-when": {"optimizer": ["sgd", "rmsprop"]}},
        "nesterov": {"type": "boolean", "default": False, "x-when": {"optimizer": ["sgd"]}},
        "beta1": {"type": "number", "minimum": 0, "default": 0.9, "x-when": {"optimizer": ["adam"]}},
    }
    body = {
        "params_schema": {"type": "object", "properties": properties},
        "metrics": [{"name": "loss", "direction": "minimize"}, {"name": "accuracy", "direction": "maximize"}],
    }
    return make_card("net", **(body | changes))


def _resolve(card: TrainerCard | None = None, params: dict[str, Any] | None = None, **fields: Any) -> Resolution:
    spec = JobSpec.model_validate({"trainer": {"name": "net", "params": params or {}}, **fields})
    return resolve(spec, make_catalogue([card or _card()], []))


def _errors(card: TrainerCard | None = None, **fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        _resolve(card, **fields)
    return {error.pointer: error.message for error in caught.value.errors}


def _float(low: float = 0.1, high: float = 0.9, **more: Any) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high, **more}


def _choice(*choices: Any, **more: Any) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(choices), **more}


def test_every_default_is_written_back() -> None:
    spec = _resolve().spec
    assert spec.trainer.version == "1"
    assert list(spec.search_space or {}) == ["learning_rate"]
    assert [objective.metric for objective in spec.objectives or []] == ["loss"]
    assert spec.budget.max_trials == DEFAULT_MAX_TRIALS == 40
    assert spec.sampler.seed is not None
    assert spec.pruner.name == "none"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"sampler": {"name": "grid", "points": 3}},
        {"search_space": {"optimizer": _choice(*OPTIMIZERS), "momentum": _float(), "beta1": _float()}},
        {"params": {"optimizer": "adam", "beta1": 0.5}, "search_space": {"learning_rate": _float(log=True)}},
    ],
)
def test_a_resolved_spec_posted_again_resolves_to_itself(fields: dict[str, Any]) -> None:
    first = _resolve(**fields)
    again = resolve(JobSpec.model_validate_json(first.spec.model_dump_json()), make_catalogue([_card()], []))
    assert again == first


def test_a_fixed_parameter_leaves_the_default_search_space() -> None:
    resolution = _resolve(params={"learning_rate": 0.1})
    assert resolution.spec.search_space == {}
    assert resolution.warnings == ("nothing is searched: every trial has the same parameters",)


def test_an_unknown_trainer_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        resolve(JobSpec.model_validate({"trainer": {"name": "nett"}}), make_catalogue([_card()], []))
    assert caught.value.errors[0].pointer == "/trainer/name"
    assert "did you mean 'net'?" in caught.value.errors[0].message


@pytest.mark.parametrize("versions", [("2", "10", "9"), ("10", "9", "2"), ("9", "2", "10")])
def test_without_a_version_the_newest_that_is_offered_is_taken(versions: tuple[str, ...]) -> None:
    workers = [make_worker(f"w{version}", trainers=(_card(version=version),)) for version in versions]
    catalogue = make_catalogue([_card(version="11")], workers)  # which nobody offers yet
    spec = JobSpec.model_validate({"trainer": {"name": "net"}})

    assert resolve(spec, catalogue).spec.trainer.version == "10"
    assert resolve(spec, make_catalogue([_card(version="11")], [])).spec.trainer.version == "11"


def test_what_can_not_apply_is_named_with_what_to_drop() -> None:
    spec = {"trainer": {"name": "net", "params": {"optimizer": "adam", "momentum": 0.5}}}
    with pytest.raises(InvalidRequestError) as caught:
        resolve(JobSpec.model_validate(spec), make_catalogue([_card()], []))
    assert caught.value.errors[0].message.endswith("; drop trainer.params.momentum")


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        resolve(JobSpec.model_validate({"trainer": {"name": "net", "version": "7"}}), make_catalogue([_card()], []))
    assert caught.value.errors[0].pointer == "/trainer/version"


def test_a_living_worker_adds_its_trainers_and_a_dead_one_does_not() -> None:
    own = make_card("own")
    spec = JobSpec.model_validate({"trainer": {"name": "own"}})
    resolve(spec, make_catalogue([], [make_worker(trainers=(own,))]))
    with pytest.raises(InvalidRequestError):
        resolve(spec, make_catalogue([], [make_worker(trainers=(own,), alive=False)]))


@pytest.mark.parametrize(
    ("fields", "pointer", "message"),
    [
        ({"params": {"learning_rat": 1}}, "/trainer/params/learning_rat", "did you mean 'learning_rate'?"),
        ({"search_space": {"batchsize": _float()}}, "/search_space/batchsize", "did you mean 'batch_size'?"),
        ({"params": {"batch_size": 0}}, "/trainer/params/batch_size", "must be at least 1, not 0"),
        (
            {"params": {"batch_size": "many"}},
            "/trainer/params/batch_size",
            "a whole number is expected here",
        ),
        ({"params": {"optimizer": "lion"}}, "/trainer/params/optimizer", "is never 'lion'; known: adam, rmsprop, sgd"),
        ({"search_space": {"learning_rate": _float(0, 1)}}, "/search_space/learning_rate/low", "must be above 0"),
        (
            {"search_space": {"learning_rate": _float(1, 101)}},
            "/search_space/learning_rate/high",
            "must be at most 100",
        ),
        ({"search_space": {"batch_size": _float(1, 8)}}, "/search_space/batch_size/type", "search it as int"),
        ({"search_space": {"optimizer": _float()}}, "/search_space/optimizer/type", "search it as categorical"),
        ({"search_space": {"optimizer": _choice("sgd", "lion")}}, "/search_space/optimizer/choices/1", "is never"),
        (
            {"params": {"learning_rate": 1}, "search_space": {"learning_rate": _float()}},
            "/search_space/learning_rate",
            "fix it or search it, not both",
        ),
        ({"objectives": [{"metric": "los", "direction": "minimize"}]}, "/objectives/0/metric", "did you mean 'loss'?"),
        (
            {"objectives": [{"metric": "test_accuracy", "direction": "maximize"}]},
            "/objectives/0/metric",
            "never an objective",
        ),
        (
            {"objectives": [{"metric": "loss", "direction": "minimize"}, {"metric": "loss", "direction": "maximize"}]},
            "/objectives/1/metric",
            "already",
        ),
        (
            {
                "objectives": [
                    {"metric": "loss", "direction": "minimize"},
                    {"metric": "accuracy", "direction": "maximize"},
                ],
                "pruner": {"name": "asha"},
            },
            "/pruner",
            "single objective",
        ),
        ({"resources": {"gpus": 2}}, "/resources/gpus", "not offered"),
        ({"sampler": {"name": "grid"}}, "/search_space/learning_rate", "a grid needs a step"),
        (
            {"search_space": {"learning_rate": {"type": "float", "range_test": True}}},
            "/search_space/learning_rate/range_test",
            "has no range test",
        ),
        ({"enqueue": [{}, {"momentum": 0.5}]}, "/enqueue/1/momentum", "is not searched"),
        ({"seeds": "unknown"}, "/seeds", "a worker gives its trials their seeds"),
        ({"enqueue": [{"learning_rate": 50}]}, "/enqueue/0/learning_rate", "outside the search space"),
        (
            {"params": {"batch_size": 8}, "enqueue": [{"batch_size": 8}]},
            "/enqueue/0/batch_size",
            "it is 8 in all trials of the job",
        ),
    ],
)
def test_what_a_card_forbids_is_refused_where_it_stands(fields: dict[str, Any], pointer: str, message: str) -> None:
    errors = _errors(**fields)
    assert list(errors) == [pointer]
    assert message in errors[pointer]


def test_the_one_value_that_there_is_is_named() -> None:
    card = _card(params_schema={"properties": {"model": {"type": "string", "const": "detector"}}})
    message = _errors(card, params={"model": "yolo"})["/trainer/params/model"]
    assert message == "model is never 'yolo'; known: detector"


def test_a_parameter_that_is_one_for_all_trials_is_not_searched() -> None:
    properties = {"split_seed": {"type": "integer", "default": 0, "x-searchable": False}}
    card = _card(params_schema={"type": "object", "properties": properties}, default_search_space={})
    _resolve(card, params={"split_seed": 1})
    errors = _errors(card, search_space={"split_seed": {"type": "int", "low": 0, "high": 9}})
    assert "set it in trainer.params" in errors["/search_space/split_seed"]


def test_a_trainer_with_a_range_test_may_be_asked_for_one() -> None:
    card = _card(capabilities={"range_test": True})
    _resolve(card, search_space={"learning_rate": {"type": "float", "range_test": True}})
    errors = _errors(card, search_space={"momentum": {"type": "float", "range_test": True}})
    assert errors == {"/search_space/momentum/range_test": "only learning_rate has a range test"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"params": {"beta1": 0.5}}, "optimizer is 'sgd' by default"),
        ({"params": {"optimizer": "adam", "momentum": 0.5}}, "optimizer is fixed to 'adam'"),
        (
            {"params": {"beta1": 0.5}, "search_space": {"optimizer": _choice("sgd", "rmsprop")}},
            "optimizer is searched over other values",
        ),
    ],
)
def test_fixing_a_parameter_that_can_never_apply_is_refused(fields: dict[str, Any], reason: str) -> None:
    (message,) = _errors(**fields).values()
    assert reason in message


def test_searching_a_parameter_that_can_never_apply_is_refused() -> None:
    assert list(_errors(search_space={"beta1": _float()})) == ["/search_space/beta1"]


def test_a_searched_parameter_takes_the_trainers_condition() -> None:
    space = _resolve(search_space={"optimizer": _choice(*OPTIMIZERS), "momentum": _float()}).spec.search_space
    assert space is not None
    assert space["momentum"].when == {"optimizer": ["sgd", "rmsprop"]}


def test_the_trainers_condition_names_only_values_the_parent_can_have() -> None:
    space = _resolve(search_space={"optimizer": _choice("sgd", "adam"), "momentum": _float()}).spec.search_space
    assert space is not None
    assert space["momentum"].when == {"optimizer": ["sgd"]}


@pytest.mark.parametrize(
    "fields",
    [
        {"params": {"optimizer": "rmsprop"}, "search_space": {"momentum": _float()}},
        {"search_space": {"momentum": _float()}},
        {"search_space": {"optimizer": _choice("sgd", "rmsprop"), "momentum": _float()}},
    ],
)
def test_no_condition_is_added_where_the_parent_always_allows(fields: dict[str, Any]) -> None:
    space = _resolve(**fields).spec.search_space
    assert space is not None
    assert space["momentum"].when is None


def test_a_condition_of_the_clients_own_is_kept_and_completed() -> None:
    space = _resolve(
        search_space={
            "optimizer": _choice(*OPTIMIZERS),
            "batch_size": _choice(16, 32),
            "momentum": _float(when={"batch_size": [16]}),
        }
    ).spec.search_space
    assert space is not None
    assert space["momentum"].when == {"batch_size": [16], "optimizer": ["sgd", "rmsprop"]}


@pytest.mark.parametrize(
    ("when", "pointer", "message"),
    [
        ({"optimiser": ["sgd"]}, "/search_space/momentum/when/optimiser", "did you mean 'optimizer'?"),
        ({"optimizer": ["sgdd"]}, "/search_space/momentum/when/optimizer/0", "never 'sgdd'"),
        ({"optimizer": ["sgd", "adam"]}, "/search_space/momentum/when/optimizer/1", "applies only when"),
        ({"optimizer": []}, "/search_space/momentum/when/optimizer", "at least one value"),
        ({"momentum": [0.5]}, "/search_space/momentum/when/momentum", "its own condition"),
        ({"batch_size": [8]}, "/search_space/momentum/when/batch_size", "is fixed"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(when: dict[str, Any], pointer: str, message: str) -> None:
    errors = _errors(
        params={"batch_size": 8},
        search_space={"optimizer": _choice(*OPTIMIZERS), "momentum": _float(when=when)},
    )
    assert message in errors[pointer]


def test_conditions_two_levels_deep_are_refused() -> None:
    errors = _errors(
        search_space={
            "optimizer": _choice(*OPTIMIZERS),
            "nesterov": _choice(True, False),
            "momentum": _float(when={"nesterov": [True]}),
        }
    )
    assert "one level deep" in errors["/search_space/momentum/when/nesterov"]


def test_an_enqueued_configuration_must_say_why_a_conditional_parameter_applies() -> None:
    space = {"optimizer": _choice(*OPTIMIZERS), "momentum": _float()}
    _resolve(search_space=space, enqueue=[{"optimizer": "sgd", "momentum": 0.5}, {"optimizer": "adam"}, {}])
    errors = _errors(search_space=space, enqueue=[{"optimizer": "adam", "momentum": 0.5}, {"momentum": 0.5}])
    assert list(errors) == ["/enqueue/0/momentum", "/enqueue/1/momentum"]


def test_a_grid_has_all_its_cells_as_budget() -> None:
    space = {"batch_size": _choice(16, 32, 64), "learning_rate": _float(0.1, 0.5, step=0.1)}
    resolution = _resolve(search_space=space, sampler={"name": "grid"})
    assert (resolution.total_cells, resolution.spec.budget.max_trials) == (15, 15)


def test_a_conditional_grid_counts_each_distinct_combination_once() -> None:
    space = {"optimizer": _choice("sgd", "adam"), "nesterov": _choice(True, False), "beta1": _choice(0.8, 0.9, 0.95)}
    # sgd: 2 values of nesterov; adam: 3 of beta1.
    assert _resolve(search_space=space, sampler={"name": "grid"}).total_cells == 2 + 3


def test_a_budget_smaller_than_the_grid_is_warned_of() -> None:
    resolution = _resolve(sampler={"name": "grid", "points": 5}, budget={"max_trials": 3})
    assert resolution.spec.budget.max_trials == 3
    assert resolution.warnings == ("the budget ends after 3 of the grid's 5 cells",)


@pytest.mark.parametrize("step", [1e-9, 1e-14])
def test_a_grid_that_would_never_end_is_refused_without_being_listed(step: float) -> None:
    errors = _errors(search_space={"learning_rate": _float(step=step)}, sampler={"name": "grid"})
    assert "would never finish" in errors["/search_space/learning_rate"]


@pytest.mark.parametrize("range_", [{"type": "int", "low": 1, "high": 10**9}, _float(step=1e-7), _float(step=1e-14)])
def test_gp_is_not_asked_to_list_a_billion_values(range_: dict[str, Any]) -> None:
    objectives = [{"metric": "loss", "direction": "minimize"}]
    external: dict[str, Any] = {"engine": "external", "search_space": {"x": range_}, "objectives": objectives}
    assert "gp lists every value" in _errors(**external, sampler={"name": "gp"})["/search_space/x"]
    assert _resolve(**external, sampler={"name": "tpe"}).spec.search_space


def test_a_grid_too_large_in_all_is_refused() -> None:
    space = {"learning_rate": _float(), "momentum": _float(), "batch_size": {"type": "int", "low": 1, "high": 1024}}
    assert "more than" in _errors(search_space=space, sampler={"name": "grid", "points": 100})["/search_space"]


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        (
            {"type": "float", "low": 0, "high": 1, "step": 0.3},
            "x: steps of 0.3 from 0 end at 0.9, and 1 is never tried",
        ),
        ({"type": "float", "low": 0, "high": 1, "step": 3}, "x: steps of 3 from 0 end at 0, and 1 is never tried"),
        ({"type": "int", "low": 1, "high": 10, "step": 4}, "x: steps of 4 from 1 end at 9, and 10 is never tried"),
        ({"type": "float", "low": 0.1, "high": 0.3, "step": 0.1}, None),
        ({"type": "int", "low": 1, "high": 9, "step": 4}, None),
        ({"type": "int", "low": 2, "high": 8, "powers_of_two": True}, None),
    ],
)
def test_a_bound_that_steps_never_reach_is_warned_of(parameter: dict[str, Any], said: str | None) -> None:
    objectives = [{"metric": "loss", "direction": "minimize"}]
    spec = JobSpec.model_validate({"engine": "external", "search_space": {"x": parameter}, "objectives": objectives})
    assert list(resolve(spec, make_catalogue([], [])).warnings) == ([] if said is None else [said])


@pytest.mark.parametrize("name", ["", "m" * 201])
def test_names_that_no_trial_could_report_are_refused(name: str) -> None:
    body = {"engine": "external", "search_space": {"x": {"type": "float", "low": 0, "high": 1}}}
    with pytest.raises(ValidationError, match="metric"):
        JobSpec.model_validate(body | {"objectives": [{"metric": name, "direction": "minimize"}]})
    with pytest.raises(ValidationError, match="search_space"):
        JobSpec.model_validate(body | {"search_space": {name: {"type": "float", "low": 0, "high": 1}}})


def test_optimising_against_a_metrics_own_direction_is_warned_of() -> None:
    (warning,) = _resolve(objectives=[{"metric": "accuracy", "direction": "minimize"}]).warnings
    assert "minimize accuracy" in warning


@given(choices=st.lists(st.sampled_from(OPTIMIZERS), min_size=1, unique=True), points=st.integers(1, 4))
def test_cells_counted_are_the_cells_laid(choices: list[str], points: int) -> None:
    space: dict[str, Any] = {"optimizer": _choice(*choices), "learning_rate": _float()}
    if choices != ["adam"]:
        space |= {"momentum": _float()} if set(choices) - {"adam"} else {}
    resolution = _resolve(search_space=space, sampler={"name": "grid", "points": points})
    sampler = resolution.spec.sampler
    assert isinstance(sampler, GridSampler)
    assert resolution.spec.search_space is not None
    cells = grid_cells(resolution.spec.search_space, points=sampler.points)
    assert resolution.total_cells == len(cells) == len({tuple(sorted(cell.items())) for cell in cells})


@pytest.mark.parametrize("name", [card.name for card in built_in_cards()])
def test_the_smallest_body_runs_with_every_built_in_trainer(name: str) -> None:
    resolve(JobSpec.model_validate({"trainer": {"name": name}}), make_catalogue(built_in_cards(), []))


def test_every_default_of_the_trainer_is_written_back_too() -> None:
    params = _resolve().spec.trainer.params
    assert params == {"batch_size": 32, "optimizer": "sgd", "momentum": 0.9, "nesterov": False}, "beta1 never applies"


def test_defaults_that_some_choice_needs_are_written_back() -> None:
    params = _resolve(search_space={"optimizer": _choice("sgd", "adam")}).spec.trainer.params
    assert params == {"learning_rate": 0.01, "batch_size": 32, "momentum": 0.9, "nesterov": False, "beta1": 0.9}


def test_a_job_that_fixes_a_default_is_the_job_that_leaves_it_out() -> None:
    fixed, left_out = _resolve(params={"momentum": 0.9}).spec, _resolve().spec
    assert fixed.trainer.params == left_out.trainer.params


def test_whole_numbers_written_as_floats_become_whole_wherever_they_are_given() -> None:
    space = {"batch_size": {"type": "int", "low": 16, "high": 256}, "learning_rate": _float(step=0.1)}
    spec = _resolve(search_space=space, enqueue=[{"batch_size": 32.0, "learning_rate": 0.1 + 0.2}]).spec
    assert spec.enqueue == [{"batch_size": 32, "learning_rate": 0.3}]
    assert type(spec.enqueue[0]["batch_size"]) is int
    fixed = _resolve(params={"batch_size": 64.0}).spec.trainer.params["batch_size"]
    assert (fixed, type(fixed)) == (64, int)
    assert (
        "outside the search space"
        in _errors(search_space=space, enqueue=[{"batch_size": 32.5}])["/enqueue/0/batch_size"]
    )


def _typed_card() -> TrainerCard:
    schema = {"type": "object", "properties": {"x": {}, "y": {}}}
    return make_card("net", params_schema=schema, metrics=[{"name": "loss"}])


def test_types_count_in_conditions() -> None:
    x = _choice(1, True, 0, False)
    resolved = _resolve(_typed_card(), search_space={"x": x, "y": _float(when={"x": [1]})})
    child = (resolved.spec.search_space or {})["y"]
    assert [applies(child, {"x": value}) for value in (1, True, 0, False, 1.0)] == [True, False, False, False, False]
    errors = _errors(_typed_card(), search_space={"x": _choice(1, 0), "y": _float(when={"x": [True]})})
    assert errors == {"/search_space/y/when/x/0": "x is never true in this search space"}


def test_a_condition_takes_on_the_type_of_its_parent() -> None:
    whole = {"type": "int", "low": 1, "high": 4}
    resolved = _resolve(_typed_card(), search_space={"x": whole, "y": _float(when={"x": [2.0]})})
    child = (resolved.spec.search_space or {})["y"]
    assert applies(child, {"x": 2})
    assert type((child.when or {})["x"][0]) is int


def test_all_that_is_wrong_is_named_at_once() -> None:
    errors = _errors(
        params={"momentun": 0.9, "beta1": 0.5},
        search_space={"learning_rat": _float(), "batch_size": {"type": "int", "low": 0, "high": 8}},
        objectives=[{"metric": "los", "direction": "minimize"}],
        outcome_constraints=["accurac > 0.5"],
        parameter_constraints=["widht < 3"],
        enqueue=[{"dropot": 1}],
        resources={"gpus": 4},
    )
    assert errors.keys() == {
        "/trainer/params/momentun",
        "/trainer/params/beta1",
        "/search_space/learning_rat",
        "/search_space/batch_size/low",
        "/objectives/0/metric",
        "/outcome_constraints/0",
        "/parameter_constraints/0",
        "/enqueue/0/dropot",
        "/resources/gpus",
    }


def test_a_misspelt_trainer_is_named_with_what_its_nearest_does_not_have() -> None:
    spec = JobSpec.model_validate({"trainer": {"name": "ned", "params": {"momentun": 0.9, "batch_size": 0}}})
    with pytest.raises(InvalidRequestError) as caught:
        resolve(spec, make_catalogue([_card()], []))
    pointers = [error.pointer for error in caught.value.errors]
    assert pointers == ["/trainer/name", "/trainer/params/momentun", "/trainer/params/batch_size"]


def test_names_that_need_quoting_can_be_constrained() -> None:
    space = {"optimizer.lr": _float(), "weight decay": _float()}
    fields: dict[str, Any] = {
        "engine": "external",
        "search_space": space,
        "objectives": [{"metric": "val loss", "direction": "minimize"}],
    }
    spec = _resolve(
        **fields,
        parameter_constraints=["`optimizer.lr` + `weight decay` <= 1"],
        outcome_constraints=["`val loss` < 5"],
        enqueue=[{"optimizer.lr": 0.5, "weight decay": 0.4}],
    ).spec
    assert spec.parameter_constraints == ["`optimizer.lr` + `weight decay` <= 1"]
    broken = _errors(**fields, parameter_constraints=["`optimizer.lr` <= 0.4"], enqueue=[{"optimizer.lr": 0.5}])
    assert "`optimizer.lr` <= 0.4: it was 0.5" in broken["/enqueue/0"]


_SPACE = {"learning_rate": {"type": "float", "low": 1e-3, "high": 1.0, "log": True}}


@pytest.mark.parametrize(
    ("pruner", "epochs", "said"),
    [
        ({"name": "asha"}, 1, "first verdict is at step 1, and trials report once"),
        ({"name": "asha", "min_resource": 10}, 10, "first verdict is at step 10, and trials end at step 10"),
        ({"name": "asha", "reduction_factor": 4, "min_early_stopping_rate": 2}, 10, "at step 16, and trials end at"),
        ({"name": "hyperband", "min_resource": 20}, 10, "at step 20"),
        ({"name": "median", "n_warmup_steps": 10}, 10, "at step 10"),
        ({"name": "patient", "patience": 9}, 10, "at step 11"),
        ({"name": "percentile", "n_startup_trials": 40}, 10, "40 run to their end first, which are all"),
        ({"name": "asha"}, 2, None),
        ({"name": "median"}, 10, None),
        ({"name": "threshold", "upper": 1.0}, 2, None),
        ({"name": "none"}, 1, None),
    ],
)
def test_a_pruner_that_can_never_stop_anything_is_warned_of(
    pruner: dict[str, Any], epochs: int, said: str | None
) -> None:
    properties = _card().params_schema["properties"] | {"epochs": {"type": "integer", "minimum": 1, "default": epochs}}
    card = _card(params_schema={"type": "object", "properties": properties}, max_step_param="epochs")
    for params, space in (({}, _SPACE), ({"epochs": epochs}, _SPACE), ({}, _SPACE | _epochs_to(epochs))):
        warnings = _resolve(card, params, search_space=space, pruner=pruner).warnings
        found = [warning for warning in warnings if "never stops" in warning]
        assert len(found) == (said is not None)
        assert all(str(said) in warning for warning in found)


def _epochs_to(high: int) -> dict[str, Any]:
    return {"epochs": {"type": "int", "low": 1, "high": high}}


def test_where_nobody_knows_the_last_step_no_pruner_is_warned_of() -> None:
    assert _resolve(search_space=_SPACE, pruner={"name": "asha", "min_resource": 1000}).warnings == ()


# -- checking the answer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "confirm", "n"),
    [
        ({}, True, 6),
        ({"budget": {"max_trials": 20}}, True, 3),
        ({"budget": {"max_trials": 19}}, False, 0),
        ({"confirm": False}, False, 0),
        ({"budget": {"max_trials": 10}, "confirm": True}, True, 1),
        ({"search_space": {"learning_rate": _choice(0.1, 0.2)}, "sampler": {"name": "grid"}}, False, 0),
        ({"search_space": {}}, False, 0),
    ],
)
def test_the_answer_is_checked_where_one_can_be_expected(fields: dict[str, Any], confirm: bool, n: int) -> None:
    found = _resolve(**fields)
    assert (found.spec.confirm, found.n_confirming) == (confirm, n)


def test_a_share_of_ones_own_is_kept() -> None:
    found = _resolve(confirm={"share": 0.25})
    assert found.n_confirming == 10
    assert found.spec.model_dump(mode="json")["confirm"] == {"share": 0.25}


def test_several_objectives_and_a_grid_have_no_answer_to_check() -> None:
    two = [{"metric": "loss", "direction": "minimize"}, {"metric": "accuracy", "direction": "maximize"}]
    assert _resolve(objectives=two).spec.confirm is False
    assert "/confirm" in _errors(objectives=two, confirm=True)
    grid: dict[str, Any] = {
        "search_space": {"learning_rate": _choice(0.1, 0.2)},
        "sampler": {"name": "grid"},
    }
    assert "/confirm" in _errors(**grid, confirm={"share": 0.1})


def test_too_few_kept_trials_are_warned_of() -> None:
    assert any("too few" in warning for warning in _resolve(budget={"max_trials": 10}, confirm=True).warnings)


@pytest.mark.parametrize(
    ("largest", "accumulated", "constraints", "said"),
    [
        (16384, 1, [], ["a batch of 1257 or more is all 1257 training samples"]),
        (512, 4, [], ["batch_size times grad_accumulation of 1257 or more is all 1257 training samples"]),
        (512, 2, [], []),
        (512, 4, ["batch_size * grad_accumulation <= 1024"], []),
    ],
)
def test_batches_beyond_the_data_are_warned_of(
    largest: int, accumulated: int, constraints: list[str], said: list[str]
) -> None:
    whole: dict[str, Any] = {"type": "integer"}
    schema: dict[str, Any] = {
        "dataset": {"type": "string", "default": "digits"},
        "batch_size": whole | {"default": 64},
        "grad_accumulation": whole | {"default": 1},
    }
    card = _card(params_schema={"type": "object", "properties": _card().params_schema["properties"] | schema})
    space = _SPACE | {"batch_size": {"type": "int", "low": 256, "high": largest, "powers_of_two": True}}
    fixed = {"grad_accumulation": accumulated}

    warnings = _resolve(card, fixed, search_space=space, parameter_constraints=constraints).warnings

    assert [warning.split(":")[0] for warning in warnings] == said


@pytest.mark.parametrize("fuse", [8, "auto"])
def test_a_wish_to_train_as_one_that_changes_nothing_is_told(fuse: int | str) -> None:
    able = _card(capabilities={"fuse": {"free": ["learning_rate"]}})
    wish: dict[str, Any] = {"resources": {"fuse": fuse}}

    assert _resolve(able, **wish).warnings == ()
    (of_trainer,) = _resolve(**wish).warnings
    (of_sampler,) = _resolve(able, sampler={"name": "gp"}, **wish).warnings
    (of_budget,) = _resolve(able, budget={"max_parallel_trials": 1}, **wish).warnings

    assert of_trainer == "resources.fuse changes nothing: net can't train several trials as one; leave it out"
    assert "budget.max_parallel_trials is 1" in of_budget
    assert (
        of_sampler
        == "resources.fuse changes nothing: gp proposes no trials beside others; tpe, qmc, random and grid do"
    )


@pytest.mark.parametrize("fuse", [8, "auto"])
@pytest.mark.parametrize(
    ("trainer", "fixed", "searched", "said"),
    [
        (
            "image_classifier",
            {"dropout": 0.1},
            {},
            "dropout > 0, and each trial draws units of its own; change trainer.",
        ),
        (
            "image_classifier",
            {},
            {"dropout": _float(0.1, 0.5)},
            "change search_space.dropout, or leave resources.fuse out",
        ),
        ("image_classifier", {}, {"dropout": _choice(0.1, 0.5)}, "change search_space.dropout"),
        ("text_classifier", {"model": "lstm"}, {}, "model is lstm, and its layers"),
        ("text_classifier", {}, {"model": _choice("lstm")}, "model is lstm"),
        ("image_classifier", {"dropout": 0}, {}, None),
        ("image_classifier", {}, {"dropout": _float(0.0, 0.5)}, None),
        ("image_classifier", {}, {"dropout": _choice(0, 0.5)}, None),
        ("text_classifier", {}, {"model": _choice("lstm", "gpt")}, None),
    ],
)
def test_parameters_with_which_each_trial_trains_alone_are_told(
    fuse: int | str, trainer: str, fixed: dict[str, Any], searched: dict[str, Any], said: str | None
) -> None:
    space = {"learning_rate": _float(log=True), **searched}
    job = {"trainer": {"name": trainer, "params": fixed}, "search_space": space}
    catalogue = make_catalogue(built_in_cards(), [])

    plain = resolve(JobSpec.model_validate(job), catalogue)
    fused = resolve(JobSpec.model_validate({**job, "resources": {"fuse": fuse}}), catalogue)

    assert plain.warnings == ()
    assert len(fused.warnings) == (said is not None)
    assert said is None or said in fused.warnings[0]
    assert all(words.startswith("resources.fuse changes nothing: ") for words in fused.warnings)


def test_a_parameter_that_not_all_trials_have_says_nothing_of_how_they_train() -> None:
    alone = {"x-trains-alone": {"above": 0, "why": "it is rough"}}
    properties = dict(_card().params_schema["properties"])
    properties["beta1"] = properties["beta1"] | alone
    card = _card(
        params_schema={"type": "object", "properties": properties}, capabilities={"fuse": {"free": ["learning_rate"]}}
    )
    wish: dict[str, Any] = {"resources": {"fuse": 8}}
    rate = {"learning_rate": _float()}

    assert len(_resolve(card, {"optimizer": "adam"}, search_space=rate, **wish).warnings) == 1
    assert _resolve(card, {"optimizer": "sgd"}, search_space=rate, **wish).warnings == ()
    assert _resolve(card, search_space={**rate, "optimizer": _choice("sgd", "adam")}, **wish).warnings == ()
