"""A search whose bounds a range test found moves an edge where good trials gather, at the same trial whoever has it."""

from collections.abc import Iterator, Mapping

import pytest

from stepsize.domain.job import JobState
from stepsize.domain.trial import Trial
from stepsize.domain.tuning import TuningFindings
from stepsize.spec.space import FloatParameter, Scalar
from stepsize.store.ledger import open_ledger
from stepsize_workers.engines.base import Outcome
from tests.job_play import Stage

SPACE = {"learning_rate": {"type": "float", "range_test": True}}
FOUND = {"learning_rate": {"type": "float", "low": 0.01, "high": 1.0, "log": True}}
TPE = {"name": "tpe", "seed": 3, "n_startup_trials": 5}


def small_rates(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """The loss is the learning rate: the smaller, the better."""
    yield float(params["learning_rate"])


def prepared(stage: Stage, soft: list[str]) -> str:
    """Record a job whose range test has found bounds."""
    job_id = stage.add(search_space=SPACE, sampler=TPE, budget={"max_trials": 40, "max_attempts": 100})
    findings = TuningFindings.model_validate({"search_space": FOUND, "soft": soft})
    with stage.database.write() as connection, open_ledger(connection, job_id) as ledger:
        ledger.set_job(findings=findings.model_dump(mode="json"))
    return job_id


def essence(trials: list[Trial]) -> list[tuple[int, dict[str, Scalar], float | None]]:
    return [(one.number, one.params, one.objective) for one in trials]


def low_of(stage: Stage, job_id: str) -> float | None:
    parameter = stage.job(job_id).search_space["learning_rate"]
    assert isinstance(parameter, FloatParameter)
    return parameter.low


def test_the_search_goes_on_beyond_the_edge_and_says_so(stage: Stage) -> None:
    job_id = prepared(stage, ["low", "high"])
    job = stage.play(job_id, small_rates)
    assert job.state is JobState.COMPLETED
    low = low_of(stage, job_id)
    assert low == pytest.approx(0.01 * 10**-1.5), "twice, and no further"
    rates = [float(trial.params["learning_rate"]) for trial in stage.trials(job_id)]
    assert min(rates[:10]) >= 0.01
    assert min(rates) < 0.01
    assert sum("the range test found" in warning for warning in job.warnings) == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_job_killed_anywhere_widens_at_the_same_trial(seed: int, stage: Stage) -> None:
    whole, killed = prepared(stage, ["low"]), prepared(stage, ["low"])
    stage.play(whole, small_rates)
    stage.play(killed, small_rates, kill_chance=0.3, seed=seed)
    assert low_of(stage, whole) == low_of(stage, killed) != 0.01
    assert essence(stage.trials(killed)) == essence(stage.trials(whole))


def test_a_bound_that_the_user_gave_stays(stage: Stage) -> None:
    job_id = prepared(stage, ["high"])
    job = stage.play(job_id, small_rates)
    assert low_of(stage, job_id) == 0.01
    assert min(float(trial.params["learning_rate"]) for trial in stage.trials(job_id)) >= 0.01
    assert job.warnings == ()
