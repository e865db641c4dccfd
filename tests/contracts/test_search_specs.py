"""Every sampler, pruner and kind of parameter: through JSON and back unchanged, told exactly, its nonsense refused."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from stepsize.application.catalogue import make_catalogue
from stepsize.application.submission import resolve
from stepsize.spec.base import Spec
from stepsize.spec.job import JobSpec
from stepsize.spec.pruners import Pruner
from stepsize.spec.samplers import Sampler
from stepsize.spec.space import Parameter

SAMPLERS: list[type[Spec]] = list(get_args(get_args(Sampler)[0]))
PRUNERS: list[type[Spec]] = list(get_args(get_args(Pruner)[0]))
KNOBS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 4, "n_ei_candidates": 12},
    "gp": {"n_startup_trials": 4, "deterministic": True},
    "cmaes": {"n_startup_trials": 2, "population_size": 6},
    "nsgaii": {"population_size": 6, "crossover_probability": 0.5, "mutation_probability": 0.25},
    "qmc": {"sequence": "halton", "scramble": False},
    "random": {},
    "grid": {"points": 3},
    "none": {},
    "median": {"n_startup_trials": 2, "n_warmup_steps": 3, "interval_steps": 4},
    "percentile": {"percentile": 40.0, "n_startup_trials": 2, "n_warmup_steps": 3, "interval_steps": 4},
    "asha": {"min_resource": 2, "reduction_factor": 3, "min_early_stopping_rate": 1},
    "hyperband": {"min_resource": 2, "max_resource": 9, "reduction_factor": 2},
    "threshold": {"lower": -1.0, "upper": 8.0, "n_warmup_steps": 3, "interval_steps": 4},
    "patient": {"patience": 5, "min_delta": 0.5},
}
"""Every knob there is, away from its default."""
SPACE = {
    "rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "share": {"type": "float", "low": 0.0, "high": 0.75, "step": 0.25},
    "single": {"type": "float", "low": 0.1, "high": 0.1},
    "depth": {"type": "int", "low": 1, "high": 9, "step": 2},
    "width": {"type": "int", "low": 3, "high": 9, "log": True},
    "batch": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
    "kind": {"type": "categorical", "choices": ["a", 1, 1.5, True]},
    "only_a": {"type": "float", "low": 0.0, "high": 1.0, "when": {"kind": ["a"], "depth": [3, 5]}},
}
"""Every feature of a search space."""


def spec_of(**fields: Any) -> JobSpec:
    objectives = [{"metric": "loss", "direction": "minimize"}]
    return JobSpec.model_validate({"engine": "external", "search_space": SPACE, "objectives": objectives} | fields)


def name_of(member: type[Spec]) -> str:
    name: str = member.model_fields["name"].default
    return name


@pytest.mark.parametrize("member", [*SAMPLERS, *PRUNERS], ids=name_of)
def test_a_spec_comes_back_from_json_and_from_submission_as_it_was(member: type[Spec]) -> None:
    name = name_of(member)
    knobs = member.model_fields.keys() - {"name", "seed"}
    given = KNOBS.get(name, {})
    assert given.keys() == knobs, f"give {name} a row in KNOBS with each of {knobs} away from its default"
    field, seed = ("sampler", {"seed": 7}) if member in SAMPLERS else ("pruner", {})
    first = resolve(spec_of(**{field: {"name": name} | given | seed}), make_catalogue([], [])).spec
    sent = json.loads(first.model_dump_json())
    assert sent[field] == {"name": name} | given | seed
    assert resolve(JobSpec.model_validate(sent), make_catalogue([], [])).spec == first


@pytest.mark.parametrize("union", [Sampler, Pruner, Parameter])
def test_the_openapi_document_tells_every_member_and_what_each_field_is_for(union: Any) -> None:
    schemas = json.loads(Path("docs/openapi.json").read_text())["components"]["schemas"]
    for member in get_args(get_args(union)[0]):
        told = schemas[member.__name__]
        assert told["additionalProperties"] is False
        assert told["properties"].keys() == member.model_fields.keys()
        undescribed = [key for key, value in told["properties"].items() if "description" not in value]
        assert set(undescribed) <= {"name", "type", "choices", "low", "high"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"search_space": {"x": {"type": "float", "low": -1.7e308, "high": 1.7e308}}}, "bring low and high closer"),
        # A rung at 10**9 to the power of a million holds up a worker for hours, and all other jobs with it.
        ({"pruner": {"name": "asha", "min_early_stopping_rate": 10**6}}, "less than or equal to 64"),
        ({"pruner": {"name": "asha", "reduction_factor": 10**9}}, "less than or equal to 1000"),
        ({"pruner": {"name": "hyperband", "reduction_factor": 10**9}}, "less than or equal to 1000"),
        # Each is weighed against every trial there is, in the process that renews leases.
        ({"sampler": {"name": "tpe", "n_ei_candidates": 10**9}}, "less than or equal to 1000"),
        ({"pruner": {"name": "hyperband", "min_resource": 9, "max_resource": 2}}, "max_resource (2) is below"),
        ({"parameter_constraints": ["2 < 1"]}, "names no parameter and no metric"),
    ],
)
def test_nonsense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        spec_of(**fields)
    assert said in str(refused.value)
