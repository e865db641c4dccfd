"""Several jobs beside each other: choices are told apart where they differ, and nothing is compared that can't be."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepsize.analysis.jobs_report import compare_jobs
from stepsize.analysis.markdown import jobs_markdown, to_html
from stepsize.analysis.sample import make_sample, merge
from stepsize.analysis.settings import APART
from stepsize.domain.evidence import Evidence
from stepsize.domain.jobs_report import JobsReport, SettingPair, SettingTable
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import CategoricalParameter, IntParameter
from tests.unit.analysis.designs import SPACE, evidence, pruned_evidence, trial, valley_evidence

COMPARE_VIEW = Path(__file__).parents[3] / "service" / "stepsize" / "dashboard" / "views" / "compare.js"


def _job(name: str, *, seed: int = 0, lr_opt: float = 0.01, floor: float = 0.1, **fixed: Any) -> Evidence:
    """Return a job of sixty trials that fixes some settings; its best rate is `lr_opt` at batch size 32."""
    found = valley_evidence(60, seed=seed, lr_opt=lr_opt, floor=floor)
    return replace(found, job_id=f"job_{name}", job_name=name, fixed=fixed)


def _table(report: JobsReport, name: str) -> SettingTable:
    return next(table for table in report.tables if table.parameter == name)


def _pair(table: SettingTable, *choices: object) -> SettingPair:
    return next(pair for pair in table.pairs if tuple(table.rows[at].choice for at in pair.rows) == choices)


def test_the_page_puts_on_one_axis_what_the_report_does() -> None:
    """The page draws before a report is computed, so it has the rule once more."""
    (said,) = re.findall(r"^const DATA = (\[.*\]);$", COMPARE_VIEW.read_text(), re.MULTILINE)
    assert {*json.loads(said), "trainer"} == APART


def test_choices_that_jobs_fix_are_rows_of_one_table() -> None:
    jobs = [
        _job("one", lr_opt=0.01, activation="relu"),
        _job("two", seed=1, lr_opt=0.03, activation="tanh"),
        _job("three", seed=2, lr_opt=0.1, floor=0.2, activation="sigmoid"),
    ]

    table = _table(compare_jobs(jobs), "activation")

    assert [row.choice for row in table.rows] == ["relu", "sigmoid", "tanh"]
    assert [row.job_ids for row in table.rows] == [["job_one"], ["job_three"], ["job_two"]]
    assert all(row.learning_rate.value and row.value.low is not None for row in table.rows)
    slower = _pair(table, "relu", "sigmoid")
    # The truth: rates 10 times as high, and a loss that is 0.1 worse.
    assert slower.rate_ratio.low is not None
    assert slower.rate_ratio.high is not None
    assert slower.rate_ratio.low < 10 < slower.rate_ratio.high
    assert slower.improvement.low is not None
    assert slower.improvement.high is not None
    assert slower.improvement.low < -0.1 < slower.improvement.high < 0
    assert "relu does better" in slower.sentence
    assert table.caveat == "the intervals of all 3 pairs hold together"


def test_rates_are_compared_at_one_batch_size() -> None:
    """Two answers may be about other batch sizes; rates grow with the batch, and that is no difference of models."""
    table = _table(compare_jobs([_job("one", model="mlp"), _job("two", seed=3, model="cnn")]), "model")

    pair = _pair(table, "cnn", "mlp")
    assert pair.batch_size in {16, 32, 64, 128, 256}
    assert pair.rate_ratio.low is not None
    assert pair.rate_ratio.high is not None
    assert pair.rate_ratio.low < 1 < pair.rate_ratio.high
    assert "can't be told apart; their values can't be told apart" in pair.sentence


def test_choices_that_one_job_searches_stand_beside_those_that_another_fixes() -> None:
    rng = np.random.default_rng(5)
    trials = []
    for _ in range(80):
        x, optimizer = float(rng.uniform(-4, 0)), str(rng.choice(["sgd", "adam"]))
        best = -1.0 if optimizer == "sgd" else -3.0
        params = {"learning_rate": 10**x, "optimizer": optimizer}
        trials.append(trial(params, loss=(x - best) ** 2 + 0.1 + 0.02 * float(rng.normal())))
    space = {
        "learning_rate": SPACE["learning_rate"],
        "optimizer": CategoricalParameter(type="categorical", choices=["sgd", "adam"]),
    }
    searching = evidence(trials, space=space, job_id="job_both", fixed={"width": 32})
    fixing = evidence(
        [
            trial({"learning_rate": 10**x}, loss=(x + 3) ** 2 + 0.1 + 0.02 * float(rng.normal()))
            for x in rng.uniform(-4, 0, 40)
        ],
        space={"learning_rate": SPACE["learning_rate"]},
        job_id="job_muon",
        fixed={"width": 32, "optimizer": "muon", "ns_steps": 5},
    )

    table = _table(compare_jobs([searching, fixing]), "optimizer")

    assert [row.choice for row in table.rows] == ["adam", "muon", "sgd"]
    n_adam = sum(one["params"]["optimizer"] == "adam" for one in trials)
    assert [row.n_trials for row in table.rows] == [n_adam, 40, 80 - n_adam]
    assert "sgd wants" in _pair(table, "adam", "sgd").sentence.lower()
    assert "sgd wants" in _pair(table, "muon", "sgd").sentence.lower()
    assert "can't be told apart;" in _pair(table, "adam", "muon").sentence


def test_a_job_that_fixes_a_choice_and_one_that_searches_it_have_rows_of_their_own() -> None:
    searching = valley_evidence(80, lr_opt=0.1)
    rng = np.random.default_rng(3)
    params = [{**one, "activation": str(rng.choice(["relu", "tanh"]))} for one in searching.trials.params]
    space = {**SPACE, "activation": CategoricalParameter(type="categorical", choices=["relu", "tanh"])}
    both = replace(searching, job_id="job_both", space=space, trials=replace(searching.trials, params=params))

    table = _table(compare_jobs([_job("one", activation="relu"), both]), "activation")

    rows = {(row.choice, *row.job_ids): row.n_trials for row in table.rows}
    n_relu = sum(one["activation"] == "relu" for one in params)
    assert rows == {("relu", "job_one"): 60, ("relu", "job_both"): n_relu, ("tanh", "job_both"): 80 - n_relu}
    # The truth: the searching job's rates are ten times as high with either choice.
    assert len(table.pairs) == 2, "relu is not compared with itself"
    across = next(pair for pair in table.pairs if "job_one" in table.rows[pair.rows[0]].job_ids)
    assert across.rate_ratio.low is not None
    assert across.rate_ratio.high is not None
    assert across.rate_ratio.low < 10 < across.rate_ratio.high


def test_a_searched_whole_number_with_few_values_is_a_choice() -> None:
    rng = np.random.default_rng(1)
    trials = [
        trial({"learning_rate": 10**x, "width": width}, loss=(x + 2) ** 2 + 8 / width + 0.02 * float(rng.normal()))
        for x, width in zip(rng.uniform(-4, 0, 80), rng.choice([16, 32, 64], 80).tolist(), strict=True)
    ]
    space = {
        "learning_rate": SPACE["learning_rate"],
        "width": IntParameter(type="int", low=16, high=64, powers_of_two=True),
    }

    table = _table(compare_jobs([evidence(trials, space=space)]), "width")

    assert [row.choice for row in table.rows] == [16, 32, 64]
    assert "64 does better" in _pair(table, 16, 64).sentence


def test_jobs_that_differ_in_something_else_too_are_not_compared() -> None:
    jobs = [_job("one", activation="relu", width=32), _job("two", seed=1, activation="tanh", width=64)]

    report = compare_jobs(jobs)

    table = _table(report, "activation")
    assert table.pairs == []
    assert table.sentence == "No two of these jobs differ in activation alone (width differ too), so none are compared."
    assert [row.where for row in table.rows] == [{"width": 32}, {"width": 64}]
    assert len(report.pairs) == 1, "the jobs themselves may be compared"


def test_a_parameter_that_belongs_to_one_choice_is_no_difference() -> None:
    jobs = [
        _job("one", optimizer="sgd", momentum=0.9),
        _job("two", seed=1, optimizer="adam"),
        _job("three", seed=2, optimizer="sgd", momentum=0.5),
    ]
    report = compare_jobs(jobs)

    by_optimizer = _table(report, "optimizer")
    assert [tuple(by_optimizer.rows[at].choice for at in pair.rows) for pair in by_optimizer.pairs] == [
        ("adam", "sgd"), ("adam", "sgd")]  # fmt: skip
    assert len(_table(report, "momentum").pairs) == 1, "0.5 and 0.9, both with sgd"


@pytest.mark.parametrize(
    "other",
    [
        {"fixed": {"dataset": "mnist5k", "environment": "cartpole", "model": "mlp"}},
        {"fixed": {"dataset": "digits", "environment": "cartpole", "model": "mlp"}, "trainer": "tabular_classifier"},
        {"fixed": {"dataset": "digits", "environment": "mountains", "model": "mlp"}},
    ],
    ids=["data", "trainer", "environment"],
)
def test_values_on_other_data_or_of_another_trainer_are_never_compared(other: dict[str, Any]) -> None:
    jobs = [
        _job("one", dataset="digits", environment="cartpole", model="mlp"),
        replace(_job("two", seed=1, lr_opt=0.1), **other),
    ]

    report = compare_jobs(jobs)

    table = report.tables[0]
    (pair,) = table.pairs
    assert pair.improvement.value is None
    assert "can't stand on one axis" in str(pair.improvement.caveat)
    assert pair.rate_ratio.low is not None
    assert pair.rate_ratio.low > 1, "a rate is a rate"
    assert "better" not in pair.sentence
    assert report.pairs[0].improvement.value is None
    assert "compare their rates, not their values" in report.caveats[0]


def test_a_trainer_and_data_that_differ_together_are_both_named() -> None:
    other = replace(_job("two", seed=1, lr_opt=0.1, dataset="wine", model="mlp"), trainer="tabular_classifier")
    report = compare_jobs([_job("one", dataset="digits", model="mlp"), other])
    for name, both in (("trainer", "trainer and dataset"), ("dataset", "dataset and trainer")):
        assert _table(report, name).sentence.startswith(f"Of one pair that differs in {both} alone, ")


def test_another_metric_or_direction_makes_no_pair() -> None:
    losses = _job("one", model="mlp")
    other = _job("two", seed=1, model="cnn")
    turned = [{"accuracy": 1 - values["loss"]} for values in other.trials.values]
    accuracy = replace(
        other,
        trials=replace(other.trials, values=turned),
        objectives=(Objective(metric="accuracy", direction=Direction.MAXIMIZE),),
    )

    report = compare_jobs([losses, accuracy])

    table = _table(report, "model")
    assert table.pairs == []
    assert {row.objective.metric for row in table.rows} == {"loss", "accuracy"}
    assert "compare their rates, not their values" in report.caveats[0]


def test_jobs_that_are_set_alike_share_a_row() -> None:
    jobs = [
        _job("one", model="mlp", split_seed=0),
        _job("again", seed=7, model="mlp", split_seed=0),
        _job("cnn", seed=2, model="cnn", split_seed=0),
    ]
    table = _table(compare_jobs(jobs), "model")

    assert [(row.choice, row.job_ids) for row in table.rows] == [
        ("cnn", ["job_cnn"]),
        ("mlp", ["job_one", "job_again"]),
    ]
    assert table.rows[1].n_trials == 120
    assert sum(band.n_trials for band in table.rows[1].by_learning_rate) == 120


def test_merged_trials_keep_their_costs_and_how_uncertain_they_are() -> None:
    jobs = [pruned_evidence(60, seed=0), pruned_evidence(60, seed=1, floor=0.5)]
    samples = [make_sample(job) for job in jobs]

    merged = merge(samples, jobs)

    np.testing.assert_allclose(merged.cost, np.concatenate([sample.cost for sample in samples]))
    np.testing.assert_allclose(merged.scale.back(merged.y[merged.has_cost]), merged.cost[merged.has_cost], rtol=1e-9)
    assert len(set(merged.number.tolist())) == 120, "no two trials share a number"
    is_pruned = merged.pruned & merged.has_cost
    assert (merged.y_sd[is_pruned] > 0).all()
    assert not merged.y_sd[merged.completed].any()


def test_too_few_trials_give_rows_without_numbers() -> None:
    few = [replace(valley_evidence(3), job_id=f"job_{name}", fixed={"model": name}) for name in ("mlp", "cnn")]

    table = _table(compare_jobs(few), "model")

    assert table.pairs == []
    assert table.sentence == "Not enough trials to compare the choices of model."
    assert all(row.learning_rate.value is None and row.learning_rate.caveat for row in table.rows)


def test_tables_in_markdown_say_what_differs_and_escape_names() -> None:
    evil = "<script>alert(1)</script>|"
    text = jobs_markdown(compare_jobs([_job("one", model=evil), _job("two", seed=1, lr_opt=0.1, model="cnn")]))

    assert "## By model" in text
    assert "| first | second | times the rate | at batch size | better by | so |" in text
    assert "## By learning rate: one" in text
    assert "<script" not in to_html(text)


def test_rows_that_two_settings_tell_apart_stand_once_and_a_job_without_a_name_goes_by_its_id() -> None:
    one = _job("one", model="mlp", width=8)
    two = replace(_job("two", seed=1, lr_opt=0.1, model="cnn", width=16), job_name="")

    report = compare_jobs([one, two])
    parts = {part.partition("\n")[0]: part for part in jobs_markdown(report).split("\n## ")}

    same = {table.parameter: table.same_rows_as for table in report.tables}
    assert same == {"model": (), "width": ("model",), "batch_size": ()}
    assert ["| best learning rate |" in parts[name] for name in ("By model", "By width")] == [True, False]
    assert "Not enough" in parts["By width"] or "No two" in parts["By width"]
    assert "job_two" in report.sentence
    assert "job_two" in report.pairs[0].sentence


def test_it_says_that_of_many_jobs_only_the_first_are_compared_two_by_two() -> None:
    jobs = [_job(f"{at}", seed=at) for at in range(11)]
    report, fewer = compare_jobs(jobs), compare_jobs(jobs[:10])
    assert "Compared two by two: the first 10 jobs with an answer. Ask about fewer jobs." in report.caveats
    assert "of the first 10" in report.sentence
    assert len(report.pairs) == len(fewer.pairs) == 45
    assert not any("first 10" in said for said in (fewer.sentence, *fewer.caveats))


def test_a_choice_that_one_job_fixes_and_another_searches_has_rows_that_say_whose_they_are() -> None:
    searching = _job("searches")
    halves = [{**params, "activation": ("relu", "tanh")[at % 2]} for at, params in enumerate(searching.trials.params)]
    choices = CategoricalParameter(type="categorical", choices=["relu", "tanh"])
    searching = replace(
        searching, trials=replace(searching.trials, params=halves), space={**SPACE, "activation": choices}
    )

    table = _table(compare_jobs([_job("fixes", seed=1, activation="relu"), searching]), "activation")

    labels = [(row.choice, row.where.get("job")) for row in table.rows]
    assert sorted(labels) == [("relu", "fixes"), ("relu", "searches"), ("tanh", "searches")]


def test_a_job_without_an_answer_says_why() -> None:
    few = evidence([trial({"learning_rate": 0.1, "batch_size": 32}, loss=1.0)], job_id="job_few", job_name="few")

    text = jobs_markdown(compare_jobs([_job("one"), few]))

    assert "No answer, because:" in text
    assert "- few: 1 trial with a value is too few" in text
