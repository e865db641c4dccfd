"""Hints: what was meant by a name that nothing has."""

from typing import get_args

import pytest

from stepsize.spec.hints import hint
from stepsize.spec.objective import Direction
from stepsize.spec.optimizers import optimizer_types
from stepsize.spec.pruners import Pruner
from stepsize.spec.samplers import Sampler
from stepsize.spec.schedules import schedule_types

SAMPLERS = [model.model_fields["name"].default for model in get_args(get_args(Sampler)[0])]
PRUNERS = [model.model_fields["name"].default for model in get_args(get_args(Pruner)[0])]
KNOWN = {
    "sampler": SAMPLERS,
    "pruner": PRUNERS,
    "schedule": [*schedule_types()],
    "optimizer": [*optimizer_types()],
    "direction": [one.value for one in Direction],
}


@pytest.mark.parametrize(
    ("family", "name", "expected"),
    [
        ("sampler", "bayes", "did you mean 'tpe' or 'gp'?"),
        ("sampler", "Bayesian", "did you mean 'tpe' or 'gp'?"),
        ("sampler", "bayesian-optimization", "did you mean 'tpe' or 'gp'?"),
        ("sampler", "sobol", "did you mean 'qmc'?"),
        ("sampler", "CMA-ES", "did you mean 'cmaes'?"),
        ("sampler", "cma", "did you mean 'cmaes'?"),
        ("sampler", "nsga2", "did you mean 'nsgaii'?"),
        ("sampler", "random_search", "did you mean 'random'?"),
        ("sampler", "TPE", "did you mean 'tpe'?"),
        ("sampler", "tep", "did you mean 'tpe'?"),
        ("sampler", "TPESampler", "did you mean 'tpe'?"),
        ("sampler", "BayesOptSearch", "did you mean 'tpe' or 'gp'?"),
        ("sampler", "MedianPruner", "'MedianPruner' means the pruner 'median', which is named under pruner"),
        ("pruner", "MedianPruner", "did you mean 'median'?"),
        ("pruner", "SuccessiveHalvingPruner", "did you mean 'asha'?"),
        ("pruner", "ASHAScheduler", "did you mean 'asha'?"),
        ("schedule", "CosineAnnealingLR", "did you mean 'cosine'?"),
        ("direction", "max", "did you mean 'maximize'?"),
        ("direction", "minimise", "did you mean 'minimize'?"),
        ("sampler", "asha", "'asha' is a pruner, which is named under pruner"),
        ("sampler", "hyperband", "'hyperband' is a pruner, which is named under pruner"),
        ("sampler", "bohb", "'bohb' means the pruner 'hyperband', which is named under pruner"),
        ("sampler", "adam", "'adam' is a optimizer"),
        ("sampler", "qwertz", "known: cmaes, gp, grid"),
        ("pruner", "tpe", "'tpe' is a sampler, which is named under sampler"),
        ("pruner", "successive_halving", "did you mean 'asha'?"),
        ("pruner", "early_stopping", "did you mean 'patient'?"),
        ("schedule", "CosineAnnealing", "did you mean 'cosine'?"),
        ("schedule", "sgdr", "did you mean 'cosine_restarts'?"),
        ("schedule", "onecycle", "did you mean 'one_cycle'?"),
        ("optimizer", "momentum", "did you mean 'sgd'?"),
        ("optimizer", "AdamW", "did you mean 'adamw'?"),
    ],
)
def test_the_name_that_was_meant_is_said(family: str, name: str, expected: str) -> None:
    assert expected.replace("a optimizer", "an optimizer") in hint(name, KNOWN[family])


def test_names_of_other_things_are_hinted_at_by_their_letters() -> None:
    assert hint("learning_rat", ["learning_rate", "batch_size"]) == "did you mean 'learning_rate'?"
    assert hint("BatchSize", ["learning_rate", "batch_size"]) == "did you mean 'batch_size'?"
    assert hint("bayes", ["learning_rate"]) == "known: learning_rate"
