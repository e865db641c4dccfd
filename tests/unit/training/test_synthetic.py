"""The synthetic valley: everybody knows its answer, so it had better be exact."""

import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stepsize_workers.trainers.base import Diverged, Sweep
from stepsize_workers.trainers.synthetic import Synthetic, SyntheticParams, best_lr, draw_crash_step, sweep_loss_at
from tests.fakes import RecordingContext


def make_context(**params: object) -> RecordingContext[SyntheticParams]:
    return RecordingContext(params=SyntheticParams.model_validate(params), directory=Path("/nonexistent"))


def losses(context: RecordingContext[SyntheticParams]) -> list[float]:
    Synthetic().train(context)
    return [values["loss"] for _, values in context.reports]


@pytest.mark.parametrize("learning_rate", [1e-5, 0.01, 0.3])
@pytest.mark.parametrize("batch_size", [16, 32, 256])
def test_the_last_report_is_the_valley_itself(learning_rate: float, batch_size: int) -> None:
    reported = losses(
        make_context(learning_rate=learning_rate, batch_size=batch_size, lr_opt=0.02, exponent=0.7, floor=0.1)
    )
    decades = math.log10(learning_rate) - math.log10(0.02 * (batch_size / 32) ** 0.7)
    assert reported[-1] == decades**2 + 0.1


def test_the_best_rate_follows_the_batch_size() -> None:
    params = SyntheticParams(lr_opt=0.02, exponent=0.5, batch_size=128)
    assert best_lr(params) == pytest.approx(0.04, rel=1e-15)
    assert losses(make_context(**params.model_dump() | {"learning_rate": best_lr(params)}))[-1] == params.floor


def test_reports_fall_to_the_valley_by_one_over_the_step() -> None:
    context = make_context(learning_rate=0.1, n_reports=4)
    valley = 1.01
    assert losses(context) == pytest.approx([valley + 1 / step - 1 / 4 for step in (1, 2, 3, 4)], abs=1e-12)
    assert [step for step, _ in context.reports] == [1, 2, 3, 4]


def test_noise_has_its_standard_deviation_and_differs_between_trials_of_one_seed() -> None:
    quiet = losses(make_context(n_reports=2000))
    noisy = losses(make_context(n_reports=2000, noise=0.5))
    # 2,000 draws: the estimate's own standard deviation is 0.008.
    assert statistics.stdev(a - b for a, b in zip(noisy, quiet, strict=True)) == pytest.approx(0.5, abs=0.04)
    other = losses(make_context(n_reports=2000, noise=0.5, learning_rate=0.02))
    assert noisy[0] - quiet[0] != other[0] - losses(make_context(n_reports=2000, learning_rate=0.02))[0]


def test_too_high_a_rate_diverges_before_any_report() -> None:
    context = make_context(learning_rate=0.5, diverge_above=0.5)
    with pytest.raises(Diverged) as caught:
        Synthetic().train(context)
    assert (caught.value.step, caught.value.learning_rate, context.reports) == (1, 0.5, [])
    assert losses(make_context(learning_rate=0.499, diverge_above=0.5))


def test_too_large_a_batch_runs_out_of_memory() -> None:
    with pytest.raises(MemoryError):
        Synthetic().train(make_context(batch_size=65, oom_above_batch=64))
    assert losses(make_context(batch_size=64, oom_above_batch=64))


def test_a_step_takes_its_time() -> None:
    started = time.monotonic()
    losses(make_context(step_s=0.05, n_reports=2))
    assert time.monotonic() - started >= 0.1


def test_a_long_step_ends_soon_after_the_stop() -> None:
    context = make_context(step_s=60.0)
    context.stop_after_polls = 3
    assert losses(context) == []
    assert context.n_polls == 3


def test_crashes_come_as_often_as_asked_and_attempts_draw_afresh() -> None:
    params = SyntheticParams(crash_probability=0.3, n_reports=3)
    steps = [draw_crash_step(params, seed=0, attempt=attempt) for attempt in range(1, 1001)]
    n_crashes = sum(step is not None for step in steps)
    assert n_crashes == pytest.approx(300, abs=75)  # five standard deviations
    assert set(steps) == {None, 1, 2, 3}
    assert draw_crash_step(params, seed=0, attempt=1) == steps[0]
    assert draw_crash_step(SyntheticParams(), seed=0, attempt=1) is None


def test_a_crash_is_the_death_of_the_process() -> None:
    script = (
        "from tests.unit.training.test_synthetic import Synthetic, make_context\n"
        "try: Synthetic().train(make_context(crash_probability=1.0))\n"
        "finally: print('still here')\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (1, "")


def test_it_needs_no_torch() -> None:
    script = (
        "import sys\n"
        "from stepsize_workers.trainers.registry import load_trainer\n"
        "load_trainer('synthetic').card()\n"
        "assert not {'torch', 'numpy', 'sklearn'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


SWEEP = Sweep(low=1e-7, high=10.0, steps=100)


def sweep(**params: object) -> RecordingContext[SyntheticParams]:
    context = make_context(**params)
    Synthetic().sweep(context, SWEEP)
    return context


def test_a_sweep_falls_fastest_at_the_best_rate() -> None:
    params = SyntheticParams(lr_opt=0.01, exponent=0.5, batch_size=128, floor=0.1)
    # The logistic curve over log lr: half of the fall at the bottom of the valley, symmetric around it.
    assert sweep_loss_at(params, learning_rate=best_lr(params)) == pytest.approx(0.6, rel=1e-12)
    below, above = (sweep_loss_at(params, learning_rate=best_lr(params) * factor) for factor in (0.1, 10))
    assert below + above == pytest.approx(1.2, rel=1e-12)


def test_a_sweep_reports_each_rate_with_its_loss() -> None:
    context = sweep(floor=0.1)
    params = SyntheticParams(floor=0.1)
    assert [step for step, _ in context.reports] == list(range(1, 101))
    for step, values in context.reports:
        rate = SWEEP.rate(step)
        assert values == {"learning_rate": rate, "loss": sweep_loss_at(params, learning_rate=rate)}


def test_a_sweep_ends_before_the_rate_that_diverges() -> None:
    last = sweep(diverge_above=0.5).reports[-1][0]
    assert SWEEP.rate(last) < 0.5 <= SWEEP.rate(last + 1)


def test_a_sweep_that_begins_beyond_the_edge_diverges() -> None:
    with pytest.raises(Diverged):
        sweep(diverge_above=1e-8)


def test_a_sweep_with_too_large_a_batch_runs_out_of_memory() -> None:
    with pytest.raises(MemoryError):
        sweep(batch_size=65, oom_above_batch=64)
