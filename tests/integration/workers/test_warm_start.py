"""Warm start: what enters the search, that it is the same after a resume, and that it helps."""

import math
import threading
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import pytest

from stepsize.application import jobs, trials
from stepsize.domain.job import Job
from stepsize.domain.trial import TrialState
from stepsize.domain.tuning import TuningDetails, WarmStartSource
from stepsize.spec.space import Scalar
from stepsize.store.jobs import delete_job
from stepsize_workers.engines.base import Outcome
from stepsize_workers.search import Search
from stepsize_workers.warm_start import EarlierTrial, load_history
from tests.builders import make_spec
from tests.contracts.test_resume import essence
from tests.job_play import Stage

BATCH_SIZE = {"type": "int", "low": 16, "high": 256, "powers_of_two": True}
LEARNING_RATE = {"type": "float", "low": 1e-6, "high": 10.0, "log": True}
TPE = {"name": "tpe", "seed": 1}


def valley_at(optimum: float, *, edge: float = math.inf) -> Any:
    """Return a script with a valley over the rate and a slope over the batch size, diverging from `edge` on."""

    def script(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
        lr = float(params["learning_rate"])
        if lr >= edge:
            yield Outcome.DIVERGED
        yield (math.log10(lr) - math.log10(optimum)) ** 2 + float(params.get("batch_size", 32)) / 1000

    return script


def details_of(*sources: WarmStartSource) -> dict[str, Any]:
    return {"details": TuningDetails(warm_start=list(sources)).model_dump(mode="json")}


def add_warm(stage: Stage, *sources: WarmStartSource, **changes: Any) -> str:
    ids = [source.job_id for source in sources]
    return stage.add(job=details_of(*sources), warm_start={"jobs": ids}, sampler=TPE, **changes)


def play_earlier(stage: Stage, n_trials: int = 20, **changes: Any) -> Job:
    space = {"learning_rate": LEARNING_RATE, "batch_size": BATCH_SIZE}
    spec: dict[str, Any] = {"search_space": space, "sampler": TPE, "budget": {"max_trials": n_trials}}
    return stage.play(stage.add(**spec | changes), valley_at(1e-2, edge=1.0))


def told(job: Job) -> str:
    (warning,) = [warning for warning in job.warnings if warning.startswith("warm start")]
    return warning


def test_trials_enter_by_name_and_what_does_not_fit_is_counted(stage: Stage) -> None:
    earlier = play_earlier(stage)
    found = stage.trials(earlier.id)
    n_above = sum(float(one.params["learning_rate"]) > 0.1 for one in found)
    space = {"learning_rate": {**LEARNING_RATE, "high": 0.1}}
    job = stage.play(
        add_warm(stage, WarmStartSource(job_id=earlier.id), search_space=space, budget={"max_trials": 1}),
        valley_at(1e-2),
    )
    assert 0 < n_above < 20
    assert told(job) == (
        f"warm start: {20 - n_above} trials of 1 job entered the search; {n_above} left out: {n_above} out of range"
    )
    assert job.n_trials == 1, "history is no part of the job"


def test_what_was_fixed_or_left_at_its_default_counts_as_known(stage: Stage) -> None:
    trainer = {"name": "synthetic", "version": "1", "params": {"batch_size": 64}}
    fixed = play_earlier(stage, 5, search_space={"learning_rate": LEARNING_RATE}, trainer=trainer)
    silent = play_earlier(stage, 7, search_space={"learning_rate": LEARNING_RATE})
    space = {"learning_rate": LEARNING_RATE, "batch_size": BATCH_SIZE}
    sources = [
        WarmStartSource(job_id=fixed.id, defaults={"batch_size": 32}),
        WarmStartSource(job_id=silent.id, defaults={"batch_size": 32}),
    ]
    job = stage.play(add_warm(stage, *sources, search_space=space, budget={"max_trials": 1}), valley_at(1e-2))
    assert told(job) == "warm start: 12 trials of 2 jobs entered the search"
    unknown = add_warm(stage, WarmStartSource(job_id=silent.id), search_space=space, budget={"max_trials": 1})
    assert told(stage.play(unknown, valley_at(1e-2))).endswith("7 left out: 7 without batch_size")


def test_trials_without_the_objective_are_left_out(stage: Stage) -> None:
    earlier = play_earlier(stage, 4, sampler={"name": "random", "seed": 5})
    n_feasible = sum(one.objective is not None for one in stage.trials(earlier.id))
    source = WarmStartSource(job_id=earlier.id)
    objectives = [{"metric": "accuracy", "direction": "maximize"}]
    job_id = add_warm(
        stage, source, objectives=objectives, search_space={"learning_rate": LEARNING_RATE}, budget={"max_trials": 1}
    )
    stage.play(job_id, valley_at(1e-2))
    assert f"{n_feasible} without accuracy" in told(stage.job(job_id))
    assert told(stage.job(job_id)).startswith("warm start: 0 trials of 1 job entered")


def test_pruned_trials_enter_as_what_they_are(stage: Stage) -> None:
    space = {"learning_rate": LEARNING_RATE}
    spec: dict[str, Any] = {"search_space": space, "sampler": TPE, "budget": {"max_trials": 20}}
    earlier = stage.play(stage.add(pruner={"name": "threshold", "upper": 4.0}, **spec), valley_at(1e-2))
    n_pruned = earlier.counts[TrialState.PRUNED]
    assert 0 < n_pruned < 20
    source = WarmStartSource(job_id=earlier.id)
    job = stage.play(add_warm(stage, source, search_space=space, budget={"max_trials": 1}), valley_at(1e-2))
    assert told(job) == "warm start: 20 trials of 1 job entered the search"
    with stage.database.read() as connection:
        history = load_history(connection, job, job.search_space)
    pruned = [one for one in history.trials if one.state is TrialState.PRUNED]
    assert len(pruned) == n_pruned
    assert all(one.step == 1 and one.values[0] > 4.0 for one in pruned)


def test_only_trials_that_had_ended_by_the_submission_count(stage: Stage) -> None:
    earlier = play_earlier(stage, 5)
    job_id = add_warm(
        stage,
        WarmStartSource(job_id=earlier.id),
        search_space={"learning_rate": LEARNING_RATE},
        budget={"max_trials": 1},
    )
    stage.do(jobs.change_job, earlier.id, jobs.JobChanges(budget={"max_trials": 9}))
    stage.play(earlier.id, valley_at(1e-2))
    assert told(stage.play(job_id, valley_at(1e-2))).startswith("warm start: 5 trials")


def test_a_warm_search_that_is_killed_and_resumed_is_the_same(stage: Stage) -> None:
    earlier = play_earlier(stage, 15)
    found = []
    for kill_chance in (0.0, 0.15):
        job_id = add_warm(
            stage,
            WarmStartSource(job_id=earlier.id),
            search_space={"learning_rate": LEARNING_RATE, "batch_size": BATCH_SIZE},
            budget={"max_trials": 15, "max_attempts": 100},
        )
        job = stage.play(job_id, valley_at(1e-2, edge=1.0), kill_chance=kill_chance)
        assert told(job).startswith("warm start: 15 trials"), "and it is told once"
        found.append([{**essence(one), "job_id": None} for one in stage.trials(job_id)])
    assert found[0] == found[1]


def test_a_deleted_job_is_missed_by_nobody(stage: Stage) -> None:
    earlier = play_earlier(stage, 5)
    job_id = add_warm(
        stage,
        WarmStartSource(job_id=earlier.id),
        search_space={"learning_rate": LEARNING_RATE},
        budget={"max_trials": 2},
    )
    stage.do(delete_job, earlier.id)
    job = stage.play(job_id, valley_at(1e-2), kill_chance=0.3)
    assert told(job) == "warm start: 0 trials of 0 jobs entered the search"
    assert job.n_counted == 2


def test_enqueued_configurations_go_before_what_history_suggests(stage: Stage) -> None:
    earlier = play_earlier(stage, 15)
    job_id = add_warm(
        stage,
        WarmStartSource(job_id=earlier.id),
        search_space={"learning_rate": LEARNING_RATE},
        budget={"max_trials": 2},
    )
    stage.do(trials.enqueue, job_id, {"learning_rate": 5.0})
    stage.play(job_id, valley_at(1e-2))
    assert stage.trials(job_id)[0].params == {"learning_rate": 5.0}


def test_history_does_not_use_up_a_discrete_space(stage: Stage) -> None:
    space = {"learning_rate": {"type": "categorical", "choices": [0.1, 0.2]}}
    earlier = play_earlier(stage, 2, search_space=space)
    job_id = add_warm(stage, WarmStartSource(job_id=earlier.id), search_space=space, budget={"max_trials": 2})
    assert stage.play(job_id, valley_at(1e-2)).n_counted == 2


@pytest.mark.slow
def test_a_heavy_samplers_process_has_the_history_too() -> None:
    spec = make_spec(search_space={"learning_rate": LEARNING_RATE}, sampler={"name": "gp", "seed": 0})
    earlier = [
        EarlierTrial({"learning_rate": 10.0**exponent}, ((exponent + 2) ** 2,), TrialState.COMPLETED, None)
        for exponent in (-6.0, -4.5, -3.0, -2.5, -1.5, -1.0, 0.0, 1.0, -5.0, -3.5)
    ]
    here = Search("job", spec, asks_here=True)
    here.warm(earlier)
    wanted = here.propose(0)
    ready = threading.Event()
    elsewhere = Search("job", spec, on_ready=ready.set)
    try:
        elsewhere.warm(earlier)
        assert elsewhere.propose(0) is None
        assert ready.wait(100.0)
        found = elsewhere.propose(0)
    finally:
        elsewhere.shut()
    assert found is not None
    assert wanted is not None
    assert found.params == wanted.params
    # A model of ten points on a parabola knows where its bottom is; a sampler without history starts at random.
    assert abs(math.log10(float(found.params["learning_rate"])) + 2) < 1.0


@pytest.mark.slow
def test_a_warm_search_needs_fewer_trials_on_a_shifted_valley(stage: Stage) -> None:
    """The optimum moved by half a decade in six; to within 0.2 decades of it, 12 seeds."""
    needed: dict[bool, list[int]] = {False: [], True: []}
    target = {"metric": "loss", "direction": "minimize", "target": 0.04 + 0.032}
    space = {"learning_rate": LEARNING_RATE}
    for seed in range(12):
        sampler = {"name": "tpe", "seed": seed}
        spec: dict[str, Any] = {"search_space": space, "sampler": sampler, "budget": {"max_trials": 30}}
        earlier = stage.play(stage.add(**spec), valley_at(1e-2, edge=1.0))
        for is_warm in (False, True):
            source = WarmStartSource(job_id=earlier.id)
            warm: dict[str, Any] = {"job": details_of(source), "warm_start": {"jobs": [earlier.id]}}
            later = spec | {"objectives": [target], "sampler": {"name": "tpe", "seed": 100 + seed}}
            job_id = stage.add(**later, **(warm if is_warm else {}))
            needed[is_warm].append(stage.play(job_id, valley_at(3e-3, edge=1.0)).n_counted)
    assert median(needed[True]) < median(needed[False]), needed
