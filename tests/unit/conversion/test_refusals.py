"""What can't be carried over is refused or told with its place, and nothing misspelt is something else."""

from typing import Any

import pytest
import yaml
from pydantic import JsonValue

from stepsize.conversion import ConversionError, Wanted, convert, is_foreign

SWEEP = """
program: train.py
method: random
run_cap: 5
metric: {name: loss, goal: minimize}
parameters: {lr: {min: 0.1, max: 1.0}}
"""
EXPERIMENT = """
apiVersion: kubeflow.org/v1beta1
kind: Experiment
metadata: {name: tuned}
spec:
  maxTrialCount: 3
  objective: {type: minimize, objectiveMetricName: loss}
  algorithm: {algorithmName: random}
  parameters: [{name: lr, parameterType: double, feasibleSpace: {min: "0.01", max: "0.05"}}]
"""


def loaded(text: str, *changes: tuple[str, str]) -> Any:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        (SWEEP, "run_cap", "runcap", "runcap: there is no such name here; 'run_cap' is meant?"),
        (SWEEP, "method", "metod", "method: this is needed and missing; metod is meant for it?"),
        (SWEEP, "random", "bayesian", "method: 'bayesian' is not known here; known are grid, random or bayes"),
        (SWEEP, "max:", "mx:", "parameters.lr: give value, values, or min and max"),
        (
            SWEEP,
            "{min: 0.1,",
            "{distribution: uniforn, min: 0.1,",
            "parameters.lr.distribution: 'uniforn' is not known",
        ),
        (SWEEP, "max: 1.0", "max: 1.0, probabilites: [1]", "parameters.lr.probabilites: there is no such name here"),
        (SWEEP, "0.1", "'0.1'", "parameters.lr.min: a number is expected here, not '0.1'"),
        (SWEEP, "0.1", "2.0", "parameters.lr: low (2.0) is above high (1.0); swap them"),
        (SWEEP, "random", "grid", "parameters.lr: a grid needs a step here, or a list of values"),
        (SWEEP, "minimize", "lower", "metric.goal: is minimize or maximize, not 'lower'"),
        (
            SWEEP,
            "run_cap: 5",
            "early_terminate: {type: envelope}",
            "early_terminate.type: 'envelope' is not known here",
        ),
        (SWEEP, "run_cap: 5", "command: ['${arg}']", "command: '${arg}' is not known here; write what stands for it"),
        (SWEEP, "metric: {name: loss, goal: minimize}", "", "metric: there is none; say what to tune by"),
        (EXPERIMENT, "random", "pbt", "spec.algorithm.algorithmName: pbt: population based training changes"),
        (EXPERIMENT, "random", "randm", "spec.algorithm.algorithmName: 'randm' is not known here; known are random,"),
        (EXPERIMENT, "double", "dbl", "spec.parameters[0].parameterType: is double, int, discrete or categorical"),
        (EXPERIMENT, '"0.01"', "low", "spec.parameters[0].feasibleSpace.min: a number is expected here, not 'low'"),
        (EXPERIMENT, "maxTrialCount", "maxTrailCount", "spec.maxTrailCount: there is no such name here"),
        (EXPERIMENT, "v1beta1", "v1alpha3", "of Katib's Experiments kubeflow.org/v1beta1 is understood, not"),
        (EXPERIMENT, "Experiment", "Pod", "a Pod (kubeflow.org/v1beta1) is not understood; understood are a W&B sweep"),
        ("lr: {loguniform: [0.0, 0.1]}", "0.1", "1", "lr.loguniform: a logarithmic scale needs a lower end above 0"),
        ("{lr: {uniform: [0, 1]}, b: {choise: [1, 2]}}", "1]", "1]", "b.choise: no function of ray.tune is called so"),
        ("param_space: {lr: {loguniorm: [1, 2]}}", "1,", "1,", "param_space.lr.loguniorm: no function of ray.tune"),
        ("param_space: {lr: {sample_from: spec.a}}", "a", "a", "lr.sample_from: is Python; write the choices out"),
        ("lr: {randint: [1, 2, 3]}", "1,", "1,", "lr.randint: takes lower, upper, not [1, 2, 3]"),
        ("lr: {uniform: [0, 1]}", "1", "1", "no metric is named; say what to tune by with --metric"),
        ("settings: 3", "3", "3", "a file with settings is not understood; understood are a W&B sweep"),
        ("trainer: {name: x}", "x", "y", "this is a job already; submit it"),
    ],
)
def test_a_slip_is_refused_with_its_place(text: str, old: str, new: str, said: str) -> None:
    with pytest.raises(ConversionError) as refused:
        convert(loaded(text, (old, new)))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            loaded(
                SWEEP,
                ("random", "bayesian"),
                ("run_cap", "runcap"),
                ("minimize", "lower"),
                ("{lr: {min: 0.1, max: 1.0}}", "{lr: {min: 0.1, mx: 1.0}, b: {min: 2, max: 1}, c: {min: 1, max: 2}}"),
            ),
            [
                "parameters.lr: give value, values, or min and max",
                "parameters.b: low (2) is above high (1); swap them",
                "method: 'bayesian' is not known here; known are grid, random or bayes",
                "metric.goal: is minimize or maximize, not 'lower'",
                "runcap: there is no such name here; 'run_cap' is meant?",
            ],
        ),
        (
            loaded(SWEEP, ("method", "metod"), ("goal: minimize", "goall: minimize")),
            [
                "method: this is needed and missing; metod is meant for it?",
                "metric.goall: there is no such name here; 'goal' is meant?",
            ],
        ),
        (
            loaded(
                EXPERIMENT,
                ("  maxTrialCount: 3", "  maxTrialCount: three\n  parallelTrialCont: 2\n  maxFailedTrialCount: 1"),
                ("minimize", "minimise"),
                ("algorithmName: random", "algorithmName: randm"),
                ("double", "dbl"),
            ),
            [
                "spec.parameters[0].parameterType: is double, int, discrete or categorical, not 'dbl'",
                "spec.objective.type: is minimize or maximize, not 'minimise'",
                "spec.maxTrialCount: a number is expected here, not 'three'",
                "spec.algorithm.algorithmName: 'randm' is not known here; known are random",
                "spec.parallelTrialCont: there is no such name here; 'parallelTrialCount' is meant?",
            ],
        ),
        (
            loaded("{lr: {loguniform: [0.0, 0.1]}, b: {choise: [1, 2]}}"),
            [
                "lr.loguniform: a logarithmic scale",
                "b.choise: no function of ray.tune",
                "no metric is named; say what to",
            ],
        ),
        (
            loaded("param_space: {lr: {uniform: [x, 1]}}\ntune_config: {metric: loss, mode: lower, num_sample: 3}"),
            [
                "param_space.lr.uniform.lower: a number is expected here, not 'x'",
                "tune_config.mode: is min or max, not 'lower'",
                "tune_config.num_sample: there is no such name here; 'num_samples' is meant?",
            ],
        ),
        (
            loaded(SWEEP, ("random", "grid"), ("max: 1.0}", "max: 1.0}, momentum: {min: 0.5, max: 0.9}")),
            ["parameters.lr: a grid needs a step here", "parameters.momentum: a grid needs a step here"],
        ),
    ],
)
def test_all_slips_that_can_be_known_are_named_at_once(document: Any, said: list[str]) -> None:
    with pytest.raises(ConversionError) as refused:
        convert(document)
    slips = refused.value.slips
    assert len(slips) == len(said), slips
    assert [words for words, slip in zip(said, slips, strict=True) if not slip.startswith(words)] == []
    assert all(f"\n  {slip}" in str(refused.value) for slip in slips)


def test_names_that_are_not_known_are_told() -> None:
    notes = convert(loaded(SWEEP, ("run_cap: 5", "run_cap: 5\nbudget_owner: me"))).notes
    assert "budget_owner: not carried over: it is not known here" in map(str, notes)


def test_two_names_that_become_one_are_refused() -> None:
    twice = loaded(SWEEP, ("{lr: {min: 0.1, max: 1.0}}", "{a.b: {values: [1]}, a-b: {values: [2]}}"))
    with pytest.raises(ConversionError, match="another parameter is called 'a_b' here too"):
        convert(twice)


def test_who_names_a_trainer_and_a_metric_needs_neither_in_the_file() -> None:
    space: dict[str, JsonValue] = {"lr": {"loguniform": [1e-4, 0.1]}}
    assert convert(space, Wanted(trainer="mine")).job == {
        "trainer": {"name": "mine"},
        "search_space": {"lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True}},
        "sampler": {"name": "random"},
    }
    external = convert(space, Wanted(objective=("loss", "minimize"))).job
    assert external["engine"] == "external"
    assert external["objectives"] == [{"metric": "loss", "direction": "minimize"}]


def test_our_own_jobs_are_none_of_theirs() -> None:
    assert not is_foreign({"trainer": {"name": "synthetic"}, "parameters": {}})
    assert not is_foreign({"engine": "external", "search_space": {"lr": {"type": "float", "low": 0, "high": 1}}})


def test_a_word_of_a_shell_that_looks_like_a_parameter_is_told_and_not_run() -> None:
    document = loaded(EXPERIMENT)
    container = {"name": "main", "command": ["sh", "-c", "python train.py --out ${HOME}"]}
    document["spec"]["trialTemplate"] = {"trialParameters": [], "trialSpec": {"kind": "Job", "containers": [container]}}
    found = convert(document)
    assert found.command is None
    assert any("{HOME} would be taken for a parameter" in note.said for note in found.notes)


@pytest.mark.parametrize(
    ("scheduler", "pruner", "told"),
    [
        ({"name": "asha", "grace_period": 2}, {"name": "asha", "min_resource": 2}, False),
        ({"name": "medianstopping", "grace_period": 60}, {"name": "median"}, True),  # seconds, to Ray
        (
            {"name": "medianstopping", "grace_period": 6, "time_attr": "training_iteration"},
            {"name": "median", "n_warmup_steps": 6},
            False,
        ),
    ],
)
def test_seconds_do_not_become_steps(scheduler: JsonValue, pruner: object, told: bool) -> None:
    tune: JsonValue = {"metric": "loss", "mode": "min", "scheduler": scheduler}
    found = convert({"param_space": {"lr": {"loguniform": [1e-4, 0.1]}}, "tune_config": tune})
    assert found.job["pruner"] == pruner
    assert any(note.place == "tune_config.scheduler.grace_period" for note in found.notes) is told
