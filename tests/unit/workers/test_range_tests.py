"""What a range test concludes from its sweeps, and which bounds a search takes from it."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from stepsize.domain.range_test import RangeTestFindings
from stepsize.domain.trial import Report, Trial, TrialError, TrialReason, TrialState
from stepsize.spec.range_test import RangeTestSpec
from stepsize.spec.space import FloatParameter, Scalar
from stepsize_workers.range_tests import Bounds, bounds_from, conclude_range_test
from stepsize_workers.trainers.base import Sweep
from stepsize_workers.trainers.synthetic import Synthetic, SyntheticParams, best_lr
from tests.builders import bare_trial
from tests.fakes import RecordingContext

DEFAULT = FloatParameter(type="float", low=1e-4, high=0.5, log=True)


def make_spec(**changes: object) -> RangeTestSpec:
    return RangeTestSpec.model_validate({"trainer": {"name": "synthetic"}, "seed": 0, **changes})


SPEC = make_spec()
SPACING = 8 / 99
"""Decades between the rates of SPEC's sweeps."""
T_2 = 4.302653
"""Student's t at 97.5 % with two degrees of freedom: √(2 · 0.95² / (1 − 0.95²))."""
EDGE_TOLERANCE = 0.15
"""Decades: half a point for where the explosion lies between two rates, and half of the smoothing's bandwidth, as two
fifths of the fall are a third of the explosion's height."""


@pytest.fixture
def make_trial() -> Callable[..., Trial]:
    """Make trials, numbered in order, of which only these fields matter."""
    numbers = count()

    def make(
        params: dict[str, Scalar] | None = None,
        *,
        state: TrialState = TrialState.COMPLETED,
        reason: TrialReason | None = None,
        error: TrialError | None = None,
    ) -> Trial:
        return bare_trial(next(numbers), params=params or {}, state=state, reason=reason, error=error)

    return make


def sweep_reports(trial: Trial, **params: object) -> Iterator[Report]:
    """Return what the `synthetic` trainer reports in a trial's sweep."""
    context = RecordingContext(
        params=SyntheticParams.model_validate({**trial.params, **params}),
        directory=None,  # type: ignore[arg-type]  # never used
        seed=trial.number,
    )
    Synthetic().sweep(context, Sweep(SPEC.low, SPEC.high, SPEC.steps))
    for step, values in context.reports:
        yield Report(trial.number, step, values, 0.0)


def decades(rate: float | None) -> float:
    assert rate is not None
    return math.log10(rate)


def conclude(trials: Sequence[Trial], spec: RangeTestSpec = SPEC, **params: object) -> RangeTestFindings:
    reports = [report for trial in trials for report in sweep_reports(trial, **params)]
    return conclude_range_test(spec, trials, reports)


def test_the_synthetic_valleys_best_rate_and_edge_are_found_at_every_batch_size(
    make_trial: Callable[..., Trial],
) -> None:
    sizes = (128, 32)
    trials = [make_trial({"batch_size": size}) for size in sizes for _ in range(3)]
    findings = conclude(trials, lr_opt=0.01, exponent=0.5, diverge_above=0.5)
    assert [result.batch_size for result in findings.results] == [32, 128]
    for result in findings.results:
        best = decades(best_lr(SyntheticParams(lr_opt=0.01, batch_size=result.batch_size or 0)))
        assert result.inconclusive is None
        assert result.suggestion and result.low and result.high  # noqa: PT018
        # Nobody knows how long trainings of `synthetic` are; its loss is lowest just below the edge.
        assert best < decades(result.suggestion.value) < math.log10(0.5)
        assert decades(result.high.value) == pytest.approx(math.log10(0.5), abs=EDGE_TOLERANCE)
        # 1/(1 + (lr/lr*)²) has lost a twentieth where (lr/lr*)² = 1/19, 0.64 decade below, but for smoothing.
        assert decades(result.low.value) == pytest.approx(best - 0.64, abs=0.1)
        assert result.suggestion.caveat is None


def test_the_interval_is_students_over_seeds(make_trial: Callable[..., Trial]) -> None:
    # Each sweep has its steepest point elsewhere: half a decade between neighbours.
    trials = [make_trial() for _ in range(3)]
    centres = (-3.0, -2.5, -2.0)
    reports = [
        report
        for trial, centre in zip(trials, centres, strict=True)
        for report in sweep_reports(trial, lr_opt=10**centre, diverge_above=1.0)
    ]
    (result,) = conclude_range_test(make_spec(rule="steepest"), trials, reports).results
    assert result.suggestion is not None
    found = [decades(number) for number in (result.suggestion.value, result.suggestion.low, result.suggestion.high)]
    half = T_2 * 0.5 / math.sqrt(3)
    assert "ask for more seeds" in (result.suggestion.caveat or "")  # half is 1.2 decades
    # Each steepest point is known to half a point of the sweep; so is their spread, four times over in the interval.
    assert found[0] == pytest.approx(-2.5, abs=SPACING / 2)
    assert found[1:] == pytest.approx([-2.5 - half, -2.5 + half], abs=2.5 * SPACING)


def test_seeds_that_agree_know_the_rate_no_better_than_the_sweeps_spacing(make_trial: Callable[..., Trial]) -> None:
    (result,) = conclude([make_trial() for _ in range(3)], diverge_above=0.5).results
    assert result.suggestion is not None
    half = decades(result.suggestion.high) - decades(result.suggestion.value)
    assert half == pytest.approx(T_2 * SPACING / math.sqrt(12 * 3), rel=1e-6)  # T_2 to 7 digits


def test_a_single_sweep_has_no_interval_and_says_why(make_trial: Callable[..., Trial]) -> None:
    (result,) = conclude([make_trial()], diverge_above=0.5).results
    assert result.suggestion is not None
    assert (result.suggestion.low, result.suggestion.high) == (None, None)
    assert "one curve" in (result.suggestion.caveat or "")


def test_sweeps_too_noisy_alone_are_read_from_their_mean(make_trial: Callable[..., Trial]) -> None:
    noisy: dict[str, Any] = {"lr_opt": 0.01, "diverge_above": 1.0, "noise": 0.7}
    trials = [make_trial() for _ in range(8)]
    alone = [conclude([trial], **noisy).results[0] for trial in trials]
    assert sum(result.inconclusive is None for result in alone) < 4
    (result,) = conclude(trials, **noisy).results
    assert result.inconclusive is None
    assert result.low
    assert result.suggestion
    assert "read from the mean of 8 sweeps" in (result.low.caveat or "")
    assert (result.low.low, result.low.high) == (None, None)
    assert decades(result.suggestion.value) == pytest.approx(-1.5, abs=0.7)  # from the steepest point to the edge


def test_twenty_seeds_have_an_interval(make_trial: Callable[..., Trial]) -> None:
    (result,) = conclude([make_trial() for _ in range(20)], diverge_above=0.5, noise=0.02).results
    assert result.suggestion is not None
    assert result.suggestion.low is not None


def test_an_edge_that_was_never_reached_is_null_with_a_caveat(make_trial: Callable[..., Trial]) -> None:
    (result,) = conclude([make_trial(), make_trial()]).results
    assert result.inconclusive is None
    assert result.high is not None
    assert (result.high.value, result.high.caveat) == (None, "the loss did not explode up to the highest rate")


def test_the_curve_shows_each_sweep_as_far_as_it_went(make_trial: Callable[..., Trial]) -> None:
    (result,) = conclude([make_trial(), make_trial()], diverge_above=0.5).results
    curve = result.curve
    n_reached = sum(rate < 0.5 for rate in curve.learning_rate)
    assert len(curve.learning_rate) == len(curve.smoothed) == 100
    assert [len(losses) for losses in curve.losses] == [n_reached, n_reached]
    assert [loss is None for loss in curve.smoothed] == [False] * n_reached + [True] * (100 - n_reached)


def shifted_reports(trial: Trial, start: float, n_updates: int | None = None) -> Iterator[Report]:
    """Return the reports of a sweep that went on below `SPEC.low`: the loss falls over two decades from `start`."""
    base = Sweep(SPEC.low, SPEC.high, SPEC.steps)
    lower = base.extended(1)
    rates = [base.rate(step) for step in range(1, base.steps + 1)]
    rates += [lower.rate(step) for step in range(1, base.steps_of_an_extension + 1)]
    for step, rate in enumerate(rates, start=1):
        loss = 1 - min(max((math.log10(rate) - start) / 2, 0.0), 1.0)
        length = {} if n_updates is None else {"training_updates": float(n_updates)}
        yield Report(trial.number, step, {"learning_rate": rate, "loss": loss, **length}, 0.0)


def test_a_sweep_that_went_on_below_is_one_curve(make_trial: Callable[..., Trial]) -> None:
    trials = [make_trial() for _ in range(3)]
    reports = [report for trial in trials for report in shifted_reports(trial, start=-8.0)]
    ordinary = make_trial()
    reports += sweep_reports(ordinary, diverge_above=0.5)
    (result,) = conclude_range_test(SPEC, [*trials, ordinary], reports).results
    assert result.low is not None
    rates = result.curve.learning_rate
    assert rates == sorted(rates)
    assert decades(rates[0]) == pytest.approx(-9, abs=SPACING)
    assert [losses.count(None) for losses in result.curve.losses] == [0, 0, 0, len(rates) - 100]
    assert all(len(losses) <= len(rates) for losses in result.curve.losses)
    alone = conclude_range_test(SPEC, trials, [one for one in reports if one.number != ordinary.number]).results[0]
    assert alone.low is not None
    assert decades(alone.low.value) == pytest.approx(-8 + 0.1, abs=0.1)  # a twentieth of the fall


def test_bounds_know_how_long_the_training_will_be(make_trial: Callable[..., Trial]) -> None:
    trials = [make_trial() for _ in range(2)]
    found = {}
    for n_updates in (10, 1000):
        reports = [report for trial in trials for report in shifted_reports(trial, start=-4.0, n_updates=n_updates)]
        (result,) = conclude_range_test(SPEC, trials, reports).results
        assert result.low
        assert result.suggestion
        found[n_updates] = decades(result.low.value), decades(result.suggestion.value)
    assert found[1000] == pytest.approx((found[10][0] - 2 * 0.55, found[10][1] - 2 * 0.33), abs=1e-9)


def test_a_test_without_descent_is_inconclusive_with_its_reason(make_trial: Callable[..., Trial]) -> None:
    (result,) = conclude([make_trial() for _ in range(3)], lr_opt=1e4).results
    assert "never fell" in (result.inconclusive or "")
    assert (result.low, result.suggestion, result.high) == (None, None, None)
    assert result.curve.learning_rate


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [(TrialState.INFEASIBLE, TrialReason.OOM, "oom"), (TrialState.FAILED, TrialReason.ERROR, "error")],
)
def test_sweeps_that_did_not_run_explain_themselves(
    make_trial: Callable[..., Trial], state: TrialState, reason: TrialReason, word: str
) -> None:
    trials = [make_trial(state=state, reason=reason) for _ in range(3)]
    (result,) = conclude_range_test(SPEC, trials, []).results
    assert result.inconclusive == f"3 of 3 sweeps did not run to the end: {word}"


def test_what_broke_the_sweeps_is_quoted(make_trial: Callable[..., Trial]) -> None:
    error = TrialError("ValueError", "labels.csv has no rows")
    trials = [make_trial(state=TrialState.FAILED, reason=TrialReason.ERROR, error=error) for _ in range(2)]
    (result,) = conclude_range_test(SPEC, trials, []).results
    assert result.inconclusive == "2 of 2 sweeps did not run to the end: error, labels.csv has no rows"


def test_half_of_the_sweeps_are_enough_and_the_caveat_counts_them(make_trial: Callable[..., Trial]) -> None:
    good = [make_trial() for _ in range(2)]
    reports = [report for trial in good for report in sweep_reports(trial, diverge_above=0.5)]
    lost = [make_trial(state=TrialState.FAILED, reason=TrialReason.LOST) for _ in range(2)]
    (result,) = conclude_range_test(SPEC, [*good, *lost], reports).results
    assert result.low is not None
    assert result.low.caveat == "2 of 4 sweeps were conclusive"
    (result,) = conclude_range_test(SPEC, [*good, *lost, *lost], reports).results
    assert result.inconclusive is not None


def test_a_sweep_that_diverged_at_once_is_a_curve_of_nothing(make_trial: Callable[..., Trial]) -> None:
    trials = [make_trial(state=TrialState.INFEASIBLE, reason=TrialReason.DIVERGED) for _ in range(2)]
    (result,) = conclude_range_test(SPEC, trials, []).results
    assert "0 updates" in (result.inconclusive or "")


def test_findings_survive_json(make_trial: Callable[..., Trial]) -> None:
    findings = conclude([make_trial({"batch_size": 32}) for _ in range(2)], diverge_above=0.5)
    assert RangeTestFindings.model_validate_json(findings.model_dump_json()) == findings


def test_a_search_takes_the_union_over_batch_sizes(make_trial: Callable[..., Trial]) -> None:
    trials = [make_trial({"batch_size": size}) for size in (32, 512) for _ in range(2)]
    findings = conclude(trials, diverge_above=0.5)
    lows = [result.low.value for result in findings.results if result.low and result.low.value]
    bounds = bounds_from(findings, default=DEFAULT)
    assert bounds.warnings == ()
    assert bounds.low == min(lows) < max(lows)
    assert decades(bounds.high) == pytest.approx(math.log10(0.5), abs=EDGE_TOLERANCE)


def test_without_an_edge_the_search_goes_up_to_the_sweeps_end(make_trial: Callable[..., Trial]) -> None:
    bounds = bounds_from(conclude([make_trial() for _ in range(2)]), default=DEFAULT)
    assert bounds.high == SPEC.high
    assert "divergence edge" in bounds.warnings[0]


def test_inconclusive_tests_leave_the_trainers_own_bounds_and_say_so(make_trial: Callable[..., Trial]) -> None:
    findings = conclude([make_trial({"batch_size": 64}) for _ in range(2)], lr_opt=1e4)
    bounds = bounds_from(findings, default=DEFAULT)
    assert (bounds.low, bounds.high) == (1e-4, 0.5)
    assert "at batch size 64 was inconclusive" in bounds.warnings[0]
    assert "from 0.0001 to 0.5" in bounds.warnings[1]
    assert bounds_from(findings, default=None) == Bounds(
        SPEC.low, SPEC.high, bounds_from(findings, default=None).warnings
    )


def test_one_inconclusive_batch_size_leaves_the_others_bounds(make_trial: Callable[..., Trial]) -> None:
    good = [make_trial({"batch_size": 32}) for _ in range(2)]
    lost = [make_trial({"batch_size": 64}, state=TrialState.INFEASIBLE, reason=TrialReason.OOM) for _ in range(2)]
    reports = [report for trial in good for report in sweep_reports(trial, diverge_above=0.5)]
    bounds = bounds_from(conclude_range_test(SPEC, [*good, *lost], reports), default=DEFAULT)
    assert decades(bounds.high) == pytest.approx(math.log10(0.5), abs=EDGE_TOLERANCE)
    assert len(bounds.warnings) == 1
