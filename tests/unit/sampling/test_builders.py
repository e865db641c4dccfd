"""Samplers and pruners of the spec find their builders by the class they name."""

import re
from pathlib import Path
from typing import get_args

import pytest

import stepsize_workers
from stepsize.spec.pruners import Pruner, PrunerBase
from stepsize.spec.samplers import SamplerBase, sampler_types
from stepsize_workers.sampling.builders import BuiltSampler, build_pruner

WORKERS = Path(stepsize_workers.__file__).parent
PRUNERS: list[type[PrunerBase]] = list(get_args(get_args(Pruner)[0]))
REQUIRED = {"threshold": {"upper": 1.0}}
# A private name of something that is not ours: not after self or cls.
PRIVATE = re.compile(r"(?<!self)(?<!cls)(?<=\w)\._[a-z]\w*")


@pytest.mark.parametrize("spec", sampler_types(), ids=lambda spec: spec.__name__)
def test_every_sampler_has_a_builder(spec: type[SamplerBase]) -> None:
    assert BuiltSampler(spec.model_validate({"seed": 0}), {}).n_tries >= 1, f"builders.py has no class for {spec}"  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", PRUNERS, ids=lambda spec: spec.__name__)
def test_every_pruner_has_a_builder(spec: type[PrunerBase]) -> None:
    name = spec.model_fields["name"].default
    assert build_pruner(spec.model_validate(REQUIRED.get(name, {}))), f"builders.py has no class for {spec}"  # type: ignore[arg-type]


def test_private_names_of_optuna_are_used_in_one_file() -> None:
    found = {
        path.name: hits
        for path in WORKERS.rglob("*.py")
        if "optuna" in (text := path.read_text()) and (hits := PRIVATE.findall(text))
    }
    assert found.keys() == {"optuna_internals.py"}, found
