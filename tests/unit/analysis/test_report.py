"""Reports of jobs of every kind: each has all parts, and none says more than its trials do."""

import json
import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepsize.analysis.choices import joint_level
from stepsize.analysis.jobs_report import compare_jobs
from stepsize.analysis.markdown import jobs_markdown, report_markdown, to_html
from stepsize.analysis.report import make_report
from stepsize.domain.answer import Words
from stepsize.domain.estimate import Estimate
from stepsize.domain.evidence import Evidence
from stepsize.domain.job import JobKind
from stepsize.domain.range_test import RangeTestCurve, RangeTestFindings, RangeTestResult
from stepsize.domain.report import Report, ScalingRule
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import CategoricalParameter, FloatParameter, SearchSpace
from tests.unit.analysis.designs import (
    SPACE,
    concentrated_rates,
    evidence,
    trial,
    uniform_rates,
    valley_evidence,
)

OPTIMIZER = CategoricalParameter(type="categorical", choices=["sgd", "adam"])
MOMENTUM = FloatParameter(type="float", low=0.0, high=0.99, when={"optimizer": ["sgd"]})


def _two_optimizers(n: int = 160) -> Evidence:
    """Adam's best rate lies two decades below SGD's, and its loss 0.2 above."""
    rng = np.random.default_rng(5)
    trials = []
    for _ in range(n):
        x, optimizer = float(rng.uniform(-5, 0)), str(rng.choice(["sgd", "adam"]))
        best, floor = (-1.5, 0.1) if optimizer == "sgd" else (-3.5, 0.3)
        params: dict[str, Any] = {"learning_rate": 10**x, "batch_size": 32, "optimizer": optimizer}
        if optimizer == "sgd":
            params["momentum"] = float(rng.uniform(0, 0.99))
        trials.append(trial(params, loss=(x - best) ** 2 + floor + 0.02 * float(rng.normal())))
    return evidence(trials, space={**SPACE, "optimizer": OPTIMIZER, "momentum": MOMENTUM})


def test_a_good_job_gets_a_recommendation_that_says_how_sure_it_is() -> None:
    report = make_report(valley_evidence())

    rate = report.sensitivity.recommended_rate
    size = report.sensitivity.batch_size
    assert rate.value is not None
    assert size is not None
    # The valley's bottom: 0.01 · sqrt(B / 32). Asked for: within 0.15 decade.
    assert abs(math.log10(rate.value / (0.01 * math.sqrt(size / 32)))) < 0.15
    assert report.confidence is Words.WELL_SUPPORTED
    assert report.scaling_law.rule is ScalingRule.SQUARE_ROOT
    assert report.recommendation.startswith(f"Use a learning rate of {rate.value:.3g} (95 % interval")
    assert f"at batch size {size} for 5 steps: well supported" in report.recommendation


def test_maximising_mirrors_minimising() -> None:
    found = valley_evidence()
    mirrored = evidence(
        [
            trial(params, accuracy=1 - values["loss"])
            for params, values in zip(found.trials.params, found.trials.values, strict=True)
        ],
        objectives=(Objective(metric="accuracy", direction=Direction.MAXIMIZE),),
    )

    lower, higher = make_report(found), make_report(mirrored)

    # 1 − (1 − loss) is rounded, and rounding leads the walkers elsewhere: rates agree to some hundredths of a decade.
    rate = lower.sensitivity.recommended_rate.value
    assert higher.sensitivity.recommended_rate.value == pytest.approx(rate, rel=0.05)
    bottom, top = lower.by_batch_size.rows[0].value, higher.by_batch_size.rows[0].value
    assert bottom.high is not None
    width = bottom.high - (bottom.low or 0)
    assert top.value == pytest.approx(1 - (bottom.value or 0), abs=0.1 * width)
    assert top.low == pytest.approx(1 - bottom.high, abs=0.1 * width), "the interval is turned over too"
    assert lower.best_trial is not None
    assert higher.best_trial is not None
    assert higher.best_trial.value == pytest.approx(1 - lower.best_trial.value)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_with_few_trials_it_says_so_and_nothing_more(n: int) -> None:
    report = make_report(valley_evidence(n))

    assert report.confidence is Words.NONE
    assert report.recommendation.startswith("Not enough trials to say")
    assert report.sensitivity.recommended_rate.value is None
    assert report.sensitivity.recommended_rate.caveat
    assert report.scaling_law.b.value is None
    assert (report.best_trial is None) == (n == 0)


def test_a_job_of_which_everything_diverged_has_no_rate_and_says_what_happened() -> None:
    trials = [trial({"learning_rate": 1.0, "batch_size": 32}, state="infeasible", reason="diverged") for _ in range(20)]
    report = make_report(evidence(trials))

    assert report.divergence.n_diverged == 20
    assert report.divergence.share.value == 1.0
    assert report.confidence is Words.NONE
    assert report.by_learning_rate.bands[0].diverged_share.value == 1.0
    assert report.recommendation.startswith("Search learning rates below 1: no trial trained, and 20 diverged")


def test_without_a_learning_rate_there_is_nothing_to_recommend() -> None:
    space = {"width": FloatParameter(type="float", low=0.0, high=1.0)}
    report = make_report(evidence([trial({"width": x / 30}, loss=x / 30) for x in range(30)], space=space))

    assert report.recommendation.startswith("The learning rate was not searched")
    assert report.recommendation.endswith("the best trial is number 0: loss 0 at width 0.")
    assert report.by_learning_rate.bands == []
    assert report.importances.items[0].parameter == "width"


@pytest.mark.parametrize("n", [0, 3, 30])
def test_no_number_of_trials_makes_up_for_a_rate_that_is_not_searched(n: int) -> None:
    # "About 30 more trials" was said of searches that would never have shown a best learning rate.
    space = {"width": FloatParameter(type="float", low=0.0, high=1.0)}
    answer = make_report(evidence([trial({"width": x / 30}, loss=x / 30) for x in range(n)], space=space)).answer
    assert (answer.words, answer.missing_trials) == (Words.NONE, None)
    assert answer.learning_rate.caveat == "the learning rate was not searched"


def test_the_interval_of_a_mean_ends_where_the_metric_does() -> None:
    values = [(0.9, 0.02), (0.2, 3.0), (0.99, 0.01)]
    trials = [trial({"learning_rate": 0.02}, loss=loss, accuracy=accuracy) for accuracy, loss in values]
    (band,) = make_report(evidence(trials, ranges={"accuracy": (0.0, 1.0)})).by_learning_rate.bands

    assert band.value.low == 0.0, "a loss, as all of them are positive"
    assert band.metrics["accuracy"].high == 1.0
    assert band.metrics["accuracy"].low == 0.0


def test_listed_rates_and_batch_sizes_are_no_choices_to_compare() -> None:
    space: SearchSpace = {
        "learning_rate": CategoricalParameter(type="categorical", choices=[1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        "batch_size": CategoricalParameter(type="categorical", choices=[16, 64, 256]),
    }
    truth = {16: -2.15, 64: -1.85, 256: -1.55}  # log10 rates: a slope of 0.5
    grid = [
        trial({"learning_rate": 10.0**x, "batch_size": size}, loss=(x - best) ** 2 + 0.01 * rank)
        for rank in range(3)
        for size, best in truth.items()
        for x in range(-4, 1)
    ]
    report = make_report(evidence(grid, space=space))

    assert report.comparisons == []
    assert report.focus == {}
    assert report.scaling_law.b.value == pytest.approx(0.3 / math.log10(4), abs=0.08)


def test_an_exact_slope_admits_its_rule() -> None:
    report = make_report(valley_evidence(60, noise=0.0, exponent=0.5, floor=0.0))

    assert report.scaling_law.rule is ScalingRule.SQUARE_ROOT
    low, high = report.sensitivity.plateau_low, report.sensitivity.plateau_high
    assert low is not None
    assert high is not None
    assert high > 1.05 * low, "1 % of a best value of 0 would be nothing"


def test_what_a_training_loop_reports_under_a_parameters_name_is_no_result() -> None:
    found = valley_evidence(40)
    for values in found.trials.values:
        values |= {"learning_rate": 0.1, "accuracy": 0.5}
    report = make_report(found)

    assert {name for band in report.by_learning_rate.bands for name in band.metrics} == {"accuracy"}


def test_no_interval_of_a_duration_begins_below_zero() -> None:
    durations = [0.1, 9.0] * 20
    trials = [
        trial(params, **values, duration_s=seconds, train_time_s=seconds)
        for (params, values), seconds in zip(_pairs(valley_evidence(40)), durations, strict=True)
    ]
    report = make_report(evidence(trials, units={"train_time_s": "s"}))

    lows = [band.train_time_s.low for band in report.by_learning_rate.bands]
    lows += [row.train_time_s.low for row in report.by_batch_size.rows]
    lows += [band.metrics["train_time_s"].low for band in report.by_learning_rate.bands]
    assert min(low for low in lows if low is not None) == 0.0


def test_what_lies_between_start_and_end_of_an_interrupted_trial_is_not_what_it_took() -> None:
    trials = [
        trial(params, **values, duration_s=3600.0 if at % 4 == 0 else 2.0, attempt=2 if at % 4 == 0 else 1)
        for at, (params, values) in enumerate(_pairs(valley_evidence(40)))
    ]
    report = make_report(evidence(trials))

    seconds = [row.train_time_s.value for row in report.by_batch_size.rows]
    assert {one for one in seconds if one is not None} == {2.0}


def test_a_batch_size_whose_best_rate_was_not_searched_is_not_recommended() -> None:
    def up_to_a_twentieth(rng: np.random.Generator, sizes: np.ndarray, **_: float) -> np.ndarray:
        return rng.uniform(-5, math.log10(0.05), len(sizes))

    # The best rate is 0.01 · B / 32: 0.08 at batch size 256.
    found = valley_evidence(draw=up_to_a_twentieth, exponent=1.0)
    narrow = FloatParameter(type="float", low=1e-5, high=0.05, log=True)
    at_the_edge = make_report(replace(found, space={**SPACE, "learning_rate": narrow}))
    within_the_space = make_report(found)

    advice = "At batch size 256 the best learning rate lies beyond those searched: widen the space."
    assert at_the_edge.answer.batch_size != 256
    assert advice in at_the_edge.caveats
    assert at_the_edge.by_batch_size.rows[-1].learning_rate.value is None
    assert advice not in within_the_space.caveats, "the space allows more; nobody has tried"
    assert within_the_space.answer.batch_size != 256
    guess = within_the_space.by_batch_size.rows[-1].learning_rate
    assert guess.is_guess
    assert "no rate above 0.04" in (guess.caveat or "")


def test_of_several_objectives_the_first_is_spoken_of_by_name() -> None:
    objectives = tuple(Objective(metric=name, direction=Direction.MINIMIZE) for name in ("loss", "seconds"))
    report = make_report(replace(valley_evidence(), objectives=objectives))

    assert report.recommendation.startswith("For loss alone, use a learning rate of")


def test_a_report_of_a_running_job_says_that_it_is_one() -> None:
    report = make_report(replace(valley_evidence(5), is_finished=False))

    assert "the best trial so far is number" in report.recommendation
    assert any("has not finished" in caveat for caveat in report.caveats)


def test_a_range_test_is_quoted_and_has_no_best_trial() -> None:
    alone = "one curve says nothing about the spread over seeds"
    low = Estimate(value=1e-3, low=None, high=None, caveat=alone)
    suggestion = Estimate(value=1e-2, low=None, high=None, caveat=alone)
    curve = RangeTestCurve(learning_rate=[], losses=[], smoothed=[])
    results = [
        RangeTestResult(batch_size=32, low=low, suggestion=suggestion, high=suggestion, curve=curve),
        RangeTestResult(batch_size=64, low=None, suggestion=None, high=None, curve=curve, inconclusive="no descent"),
    ]
    findings = RangeTestFindings(sweep_low=1e-7, sweep_high=10.0, results=results)
    sweeps = [trial({"batch_size": size}, loss=5.0) for size in (32, 64)]

    report = make_report(evidence(sweeps, kind=JobKind.RANGE_TEST, range_test=findings))
    unfinished = make_report(evidence([], kind=JobKind.RANGE_TEST, is_finished=False))

    assert report.recommendation == (
        "This learning-rate range test says where to search: "
        "from 0.001 up to 0.01 at batch size 32 "
        "(0.01 is suggested; one curve says nothing about the spread over seeds); "
        "nothing at batch size 64, for no descent."
    )
    assert report.best_trial is None
    assert "## " not in report_markdown(report), "it searches nothing: no part of a search's report"
    assert unfinished.recommendation == "This learning-rate range test has not finished."


def test_without_a_batch_size_the_rate_alone_is_recommended() -> None:
    found = valley_evidence(exponent=0.0)
    for params in found.trials.params:
        del params["batch_size"]
    report = make_report(found)

    assert report.sensitivity.batch_size is None
    assert "batch size" not in report.recommendation
    assert report.sensitivity.recommended_rate.value == pytest.approx(0.01, rel=0.25)
    assert report.by_batch_size.rows == []


def test_the_rate_may_have_the_name_external_trainers_give_it() -> None:
    found = valley_evidence(exponent=0.0)
    for params in found.trials.params:
        params["lr"] = params.pop("learning_rate")

    assert make_report(found).sensitivity.recommended_rate.value == pytest.approx(0.01, rel=0.25)


def test_choices_with_valleys_of_their_own_are_told_apart() -> None:
    report = make_report(_two_optimizers())

    (comparison,) = report.comparisons
    sgd, adam = comparison.choices
    assert sgd.learning_rate.value == pytest.approx(10**-1.5, rel=0.25)  # a tenth of a decade: a rough posterior
    assert adam.learning_rate.value == pytest.approx(10**-3.5, rel=0.25)
    assert adam.improvement.value is not None
    assert -0.3 < adam.improvement.value < 0, "the floors are 0.1 and 0.3; the valleys differ in shape, too"
    assert adam.improvement.high is not None
    assert adam.improvement.high < 0
    assert comparison.baseline == "sgd"
    assert comparison.sentence == "sgd does better than adam, each at its own best learning rate."
    assert sgd.learning_rate == report.answer.learning_rate, "one choice, one best rate"
    assert report.focus == {"optimizer": "sgd"}
    assert report.answer.learning_rate.value == pytest.approx(10**-1.5, rel=0.25)
    assert "with optimizer sgd" in report.recommendation


def _equal_choices(n: int = 60, **fields: Any) -> Evidence:
    rng = np.random.default_rng(6)
    trials = []
    for number in range(n):
        x, choice = float(rng.uniform(-4, 0)), str(rng.choice(["one", "other"]))
        loss = 0.1 * math.exp((x + 1.5) ** 2 + 0.1 * float(rng.normal()))
        trials.append(trial({"learning_rate": 10**x, "kind": choice}, loss=loss, **{"seed": number, **fields}))
    kind = CategoricalParameter(type="categorical", choices=["one", "other"])
    return evidence(trials, space={"learning_rate": SPACE["learning_rate"], "kind": kind})


def test_choices_that_cannot_be_told_apart_stay_together_and_it_says_so() -> None:
    report = make_report(_equal_choices())

    assert report.focus == {}
    assert report.answer.choices == {}
    assert report.comparisons[0].sentence == "The choices one and other of kind can't be told apart." or (
        report.comparisons[0].sentence == "The choices other and one of kind can't be told apart."
    )
    assert any("can't be told apart" in caveat for caveat in report.caveats)
    rate = report.answer.learning_rate.value
    assert {(one.choice, one.learning_rate) for one in report.answer.alternatives} == {("one", rate), ("other", rate)}


def test_one_and_true_are_two_choices() -> None:
    found = _equal_choices()
    trials = []
    for params, values in _pairs(found):
        is_one = params["kind"] == "one"
        named = {**params, "kind": 1 if is_one else True}
        trials.append(trial(named, loss=values["loss"] * (2.0 if is_one else 1.0)))
    kind = CategoricalParameter(type="categorical", choices=[1, True])
    report = make_report(evidence(trials, space={**found.space, "kind": kind}))

    (comparison,) = report.comparisons
    assert [repr(row.choice) for row in comparison.choices] == ["1", "True"]
    assert sum(row.n_trials for row in comparison.choices) == len(trials)
    assert comparison.sentence == "True does better than 1, each at its own best learning rate."
    assert repr(report.answer.choices) == "{'kind': True}"


def test_of_three_choices_the_intervals_of_all_differences_hold_together() -> None:
    draws = [np.random.default_rng(seed).normal(size=4000) for seed in range(3)]
    differences = [one - two for one, two in combinations(draws, 2)]
    level = joint_level(differences)
    inside = [
        (low <= d) & (d <= high)
        for d in differences
        for low, high in [np.quantile(d, [(1 - level) / 2, (1 + level) / 2])]
    ]
    assert np.logical_and.reduce(inside).mean() == pytest.approx(0.95, abs=0.01)  # exact but for ranks
    assert 0.95 < level < 1 - 0.05 / 3, "differences of three have something in common: Bonferroni would be too careful"
    assert joint_level(differences[:1]) == 0.95


def test_with_one_seed_no_choice_is_said_to_be_better_by_less_than_seeds_move_it() -> None:
    found = _equal_choices(seed=1)
    better = evidence(
        [
            trial(params, loss=values["loss"] * (0.9 if params["kind"] == "one" else 1.0), seed=1)
            for params, values in _pairs(found)
        ],
        space=found.space,
    )

    assert "can't be told apart" in make_report(better).comparisons[0].sentence


def test_a_choice_with_hardly_any_trials_shows_its_best_one() -> None:
    found = _equal_choices()
    few = {"learning_rate": 0.03, "kind": "rare"}
    kind = CategoricalParameter(type="categorical", choices=["one", "other", "rare"])
    trials = [*(trial(params, **values) for params, values in _pairs(found)), trial(few, loss=0.2)]
    report = make_report(evidence(trials, space={**found.space, "kind": kind}))

    rare = report.comparisons[0].choices[2]
    assert rare.best.value == 0.2
    assert rare.best.is_guess
    assert "Too few trials to say anything about rare." in report.comparisons[0].sentence


def test_a_batch_size_at_which_everything_ran_out_of_memory_recommends_nothing() -> None:
    found = valley_evidence(60)
    oom = [trial({"learning_rate": 0.01, "batch_size": 1024}, state="infeasible", reason="oom") for _ in range(4)]
    report = make_report(evidence([*(trial(p, **v) for p, v in _pairs(found)), *oom]))

    row = report.by_batch_size.rows[-1]
    assert row.batch_size == 1024
    assert row.learning_rate.value is None
    assert row.value.value is None
    assert "out of memory" in (row.learning_rate.caveat or "")


def test_a_frontier_is_not_told_beyond_the_rates_tried() -> None:
    found = valley_evidence(60, draw=lambda rng, sizes, **_: rng.uniform(-5, -1, len(sizes)))
    diverged = [
        trial({"learning_rate": 0.09, "batch_size": 16}, state="infeasible", reason="diverged") for _ in range(3)
    ]
    report = make_report(evidence([*(trial(p, **v) for p, v in _pairs(found)), *diverged]))

    ends = [end for row in report.divergence.frontier for end in (row.learning_rate.value, row.learning_rate.high)]
    assert all(end is None or end <= 0.1 for end in ends)


_REPORTED = st.builds(
    valley_evidence,
    st.integers(8, 60),
    seed=st.integers(0, 1000),
    noise=st.sampled_from([0.0, 0.02, 0.5]),
    exponent=st.sampled_from([0.0, 0.5, 1.0]),
    lr_opt=st.sampled_from([1e-5, 0.01, 1.0]),
    draw=st.sampled_from([uniform_rates, concentrated_rates]),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_REPORTED)
def test_a_report_never_contradicts_itself(found: Evidence) -> None:
    report = make_report(found)
    answer = report.answer

    assert report.recommendation == answer.sentence
    assert report.confidence is answer.words
    assert report.sensitivity.recommended_rate == answer.learning_rate
    for row in report.by_batch_size.rows:
        rate = row.learning_rate
        if rate.value is not None and rate.low is not None and rate.high is not None:
            assert rate.low <= rate.value <= rate.high
        if row.batch_size == answer.batch_size:
            assert rate == answer.learning_rate
            assert row.value == answer.value
    if answer.words is Words.NONE:
        assert answer.learning_rate.value is None
    else:
        assert answer.learning_rate.value is not None
        assert f"{answer.learning_rate.value:.3g}" in answer.sentence
        low, high = report.sensitivity.plateau_low, report.sensitivity.plateau_high
        assert low is not None
        assert high is not None
        assert low <= answer.learning_rate.value * 1.0001
        assert answer.learning_rate.value <= high * 1.0001


def test_only_the_first_of_several_objectives_is_reported_and_it_says_so() -> None:
    objectives = (
        Objective(metric="loss", direction=Direction.MINIMIZE),
        Objective(metric="seconds", direction=Direction.MINIMIZE),
    )
    found = valley_evidence()
    report = make_report(evidence([trial(p, **v) for p, v in _pairs(found)], objectives=objectives))

    assert report.objective.metric == "loss"
    assert any("seconds" in caveat for caveat in report.caveats)


def test_replicates_measure_the_noise() -> None:
    rng = np.random.default_rng(0)
    base = valley_evidence(40, noise=0.0)
    trials = [trial(params, **values) for params, values in _pairs(base)]
    best = min(range(40), key=lambda row: base.trials.values[row]["loss"])
    trials += [
        trial(base.trials.params[best], replicate_of=best, loss=float(0.5 + 0.1 * rng.normal())) for _ in range(60)
    ]
    report = make_report(evidence(trials))

    # 60 draws of standard deviation 0.1; the one original at 0.01 moves it by a few per cent.
    assert report.noise.value == pytest.approx(0.1, rel=0.35)
    assert report.noise.caveat is None
    assert report.best_trial is not None
    assert report.best_trial.number < 40, "a replicate is never the best trial"


def test_checks_of_one_rate_measure_the_noise_without_the_lucky_trial_they_check() -> None:
    base = valley_evidence(40, noise=0.02)
    trials = [trial(params, **values) for params, values in _pairs(base)]
    best = min(range(40), key=lambda row: base.trials.values[row]["loss"])
    trials += [trial(base.trials.params[best], purpose="confirm", loss=loss) for loss in (0.4, 0.5, 0.6)]
    trials.append(trial({**base.trials.params[best], "learning_rate": 0.02}, purpose="confirm", loss=5.0))
    noise = make_report(evidence(trials)).noise

    assert noise.value == pytest.approx(0.1)
    assert noise.caveat is None


def test_nothing_is_said_to_lie_above_minus_nought() -> None:
    trials = [trial({"learning_rate": 10.0**-x, "batch_size": 32}, accuracy=value) for x, value in ((1, 0.0), (1, 0.9))]
    job = evidence(trials, objectives=[Objective(metric="accuracy", direction=Direction.MAXIMIZE)])
    report = make_report(replace(job, ranges={"accuracy": (0.0, 1.0)}))
    (band,) = report.by_learning_rate.bands
    assert band.value.low == 0
    assert "-0" not in report.model_dump_json(include={"by_learning_rate"}).replace("e-0", "")


def test_the_best_trial_is_one_of_the_search_wherever_it_is_named() -> None:
    chosen = [{"learning_rate": 10.0**-x, "batch_size": 32, "optimizer": ["sgd", "adam"][x % 2]} for x in range(1, 6)]
    trials = [trial(params, loss=0.5 + 0.1 * at) for at, params in enumerate(chosen)]
    luckier = {"learning_rate": 0.03, "batch_size": 32, "optimizer": "sgd"}
    trials += [trial(luckier, purpose="confirm", loss=0.1), trial(luckier, replicate_of=0, loss=0.2)]
    job = evidence(trials, space={**SPACE, "optimizer": OPTIMIZER})

    report = make_report(job)

    assert report.best_trial is not None
    assert (report.best_trial.number, report.best_trial.value) == (0, 0.5)
    assert report.sensitivity.best_trial_rate == pytest.approx(0.1)
    assert [row.best for row in report.by_batch_size.rows] == [0.5]
    assert min(band.best for band in report.by_learning_rate.bands if band.best is not None) == 0.5
    assert [row.best_trial for row in report.comparisons[0].choices] == [0.6, 0.5]
    (row,) = compare_jobs([job]).jobs
    assert row.best_trial == report.best_trial


def test_absurd_values_do_no_harm() -> None:
    found = valley_evidence(40)
    found.trials.values[0]["loss"] = 1e307
    found.trials.values[1]["loss"] = -1e307
    report = make_report(found)

    assert "NaN" not in report.model_dump_json()
    json.loads(report.model_dump_json(), parse_constant=lambda name: pytest.fail(name))


def test_the_report_survives_its_own_json() -> None:
    report = make_report(_two_optimizers())

    assert Report.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    "found",
    [valley_evidence(0), valley_evidence(1), valley_evidence(30), _two_optimizers(60)],
    ids=["none", "one", "some", "choices"],
)
def test_every_report_can_be_read_by_people(found: Evidence) -> None:
    report = make_report(found)

    text = report_markdown(report)
    page = to_html(text)

    assert text.startswith("# Learning-rate report: valley")
    assert "<h1>" in page
    assert page.count("<table>") == page.count("</table>")
    assert "nan" not in text


def test_a_report_for_people_begins_with_a_picture_of_the_valley() -> None:
    objective = Objective(metric="loss```\n# big", direction=Direction.MINIMIZE)
    trials = [trial(params, **{objective.metric: values["loss"]}) for params, values in _pairs(valley_evidence(60))]
    text = report_markdown(make_report(evidence(trials, objectives=(objective,))))

    head = text[: text.index("## ")].splitlines()
    start = head.index("```text")
    blocks, mark, end = head[start + 1 : start + 4]
    assert end == "```"
    assert blocks[mark.index("↑")] == "▁", "the mark stands below the bottom"
    assert "█" in blocks
    page = to_html(text)
    assert page.count("<h1>") == 1, "a metric's name ends no block"
    assert page.count("<pre>") == 1


def test_names_that_are_markup_stay_text() -> None:
    evil = "<script>alert(1)</script>|[x](http://evil.example)\n# big"
    space = {**SPACE, evil: CategoricalParameter(type="categorical", choices=[evil, "b"])}
    trials = [
        trial({**params, evil: evil if row % 2 else "b"}, **values)
        for row, (params, values) in enumerate(_pairs(valley_evidence(60)))
    ]
    report = make_report(evidence(trials, space=space, job_name=evil))

    page = to_html(report_markdown(report))

    assert "<script" not in page
    assert "<a " not in page
    assert page.count("<h1>") == 1


def test_jobs_are_compared_by_what_differs_between_them() -> None:
    small = valley_evidence(lr_opt=0.01, exponent=0.0)
    large = valley_evidence(lr_opt=0.1, exponent=0.0, seed=1)
    report = compare_jobs([_with(small, "digits"), _with(large, "mnist")])

    assert [row.differs for row in report.jobs] == [{"dataset": "digits"}, {"dataset": "mnist"}]
    assert [group.choice for group in report.by_setting] == ["digits", "mnist"]
    assert report.by_setting[1].typical_rate == pytest.approx(0.1, rel=0.25)
    assert "a factor of" in report.sentence
    assert "mnist" in jobs_markdown(report)


def _with(found: Evidence, dataset: str) -> Evidence:
    trials = [trial(params, **values) for params, values in _pairs(found)]
    return evidence(trials, fixed={"dataset": dataset, "epochs": 5}, job_name="", job_id=f"job_{dataset}")


def _pairs(found: Evidence) -> list[tuple[dict[str, Any], dict[str, float]]]:
    return list(zip(found.trials.params, found.trials.values, strict=True))


def test_guesses_look_different_in_markdown_and_html_and_have_their_reasons_below() -> None:
    report = make_report(valley_evidence())
    rows = list(report.by_batch_size.rows)
    guess = rows[0].learning_rate.model_copy(update={"is_guess": True, "caveat": "from two trials"})
    rows[0] = rows[0].model_copy(update={"learning_rate": guess})
    by_batch_size = report.by_batch_size.model_copy(update={"rows": rows})
    text = report_markdown(report.model_copy(update={"by_batch_size": by_batch_size}))
    section = text.split("## By batch size")[1].split("## ")[0]

    assert section.count("*guess: ") == 1 + sum(row.value.is_guess for row in rows)
    assert f"- batch size {rows[0].batch_size}: from two trials" in section
    assert "<em>guess: " in to_html(section)
