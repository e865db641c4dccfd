"""A search killed anywhere and resumed equals the uninterrupted one, trial by trial: every sampler and pruner."""

import math
import random
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepsize.domain.trial import Report, Trial, TrialReason, TrialState
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar, applies
from stepsize.store.database import Database
from stepsize.store.trials import load_trials
from stepsize_workers.engines.base import Outcome
from stepsize_workers.search import Proposal, Search
from tests.builders import bare_trial, expire_lease, make_job, make_spec
from tests.fake_engine import FakeEngine
from tests.job_play import take_over

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 10.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
    "momentum": {"type": "float", "low": 0.0, "high": 0.99, "step": 0.33, "when": {"optimizer": ["sgd"]}},
}
N_TRIALS = 40
N_REPORTS = 4


def valley(params: Mapping[str, Scalar]) -> Iterator[float | Outcome]:
    """A valley at 0.1 that diverges above a rate of 1, with steps that fall towards it."""
    lr = float(params["learning_rate"])
    if lr > 1.0:
        yield Outcome.DIVERGED
    for step in range(1, N_REPORTS + 1):
        yield (math.log10(lr) + 1) ** 2 + int(params["batch_size"]) / 256 + 1 / step


def play(database: Database, spec: dict[str, Any], data_dir: Path, *, kill_chance: float, seed: int = 0) -> list[Trial]:
    """Run a job to its end; after each event the worker is killed with the chance given, and another takes over."""
    moments = random.Random(seed)
    with database.write() as connection:
        job_id = make_job(connection, id="job-under-test", spec=make_spec(**spec)).id
    while True:
        engine = FakeEngine(valley)
        holder = take_over(database, job_id, engine, data_dir)
        while not holder.is_over and moments.random() >= kill_chance:
            holder.handle(engine.poll(0.0))
            holder.start(engine.free_slots()[: holder.wants_slots()])
            holder.settle()
        with database.write() as connection:
            if holder.is_over:
                return load_trials(connection, job_id)
            expire_lease(connection, job_id)


def essence(trial: Trial) -> dict[str, Any]:
    """What must be equal: everything but times and the number of attempts."""
    differs = ("attempt", "losses_of_worker", "losses_in_a_row", "created_at", "started_at", "finished_at", "change")
    return {name: value for name, value in vars(trial).items() if name not in differs}


@pytest.fixture
def two_databases(tmp_path: Path, sqlite_template: Path) -> Iterator[tuple[Database, Database]]:
    databases = []
    for name in ("uninterrupted", "killed"):
        path = tmp_path / f"{name}.db"
        path.write_bytes(sqlite_template.read_bytes())
        databases.append(Database(f"sqlite:///{path}"))
    yield databases[0], databases[1]
    for database in databases:
        database.dispose()


PRUNERS: list[dict[str, Any]] = [
    {"name": "none"},
    {"name": "median"},
    {"name": "percentile", "percentile": 40},
    {"name": "asha"},
    {"name": "hyperband", "max_resource": N_REPORTS},
    {"name": "threshold", "upper": 8.0},
    {"name": "patient", "patience": 1},
]
BY_NAME = {pruner["name"]: pruner for pruner in PRUNERS}
COMBINATIONS = [
    *(("tpe", name) for name in ("none", "median", "asha")),
    *(pytest.param("tpe", name, marks=pytest.mark.slow) for name in BY_NAME if name not in ("none", "median", "asha")),
    *(("random", name) for name in ("none", "asha")),
    *(("grid", name) for name in ("none", "median")),
    *(("qmc", name) for name in ("none", "hyperband")),
]


@pytest.mark.parametrize(("sampler", "pruner"), COMBINATIONS)
def test_resumed_search_equals_uninterrupted(
    sampler: str, pruner: str, two_databases: tuple[Database, Database], tmp_path: Path
) -> None:
    spec = {
        "search_space": SPACE,
        "parameter_constraints": ["batch_size * learning_rate <= 640"],
        "sampler": {"name": sampler, "seed": 3} | ({"points": 4} if sampler == "grid" else {}),
        "pruner": BY_NAME[pruner],
        "budget": {"max_trials": N_TRIALS, "max_attempts": 100, "max_failed_trials": None},
    }
    whole = play(two_databases[0], spec, tmp_path, kill_chance=0.0)
    killed = play(two_databases[1], spec, tmp_path, kill_chance=0.1)

    assert len(whole) == N_TRIALS
    assert sum(trial.attempt > 1 for trial in killed) >= 5, "the kills must have hit running trials"
    assert any(trial.state is TrialState.INFEASIBLE for trial in whole)
    assert [essence(trial) for trial in killed] == [essence(trial) for trial in whole]


# -- heavy samplers: the search alone, its record kept here ------------------------------------------------------------

HEAVY = {
    "gp": {"name": "gp", "n_startup_trials": 2},
    "cmaes": {"name": "cmaes", "population_size": 4},
    "nsgaii": {"name": "nsgaii", "population_size": 4},
}
N_HEAVY_TRIALS = {"gp": 5, "cmaes": 30, "nsgaii": 30}
WIDE_SPACE = SPACE | {
    "width": {"type": "int", "low": 8, "high": 512, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "layers": {"type": "int", "low": 1, "high": 9, "step": 2},
}
CONSTRAINT = "batch_size * width <= 32768"


def wide_spec(sampler: str) -> ResolvedJobSpec:
    body = HEAVY.get(sampler, {"name": sampler}) | {"seed": 3}
    return make_spec(search_space=WIDE_SPACE, parameter_constraints=[CONSTRAINT], sampler=body)


class Book:
    """Runs trials one after another against a search and keeps the record that a worker would keep."""

    def __init__(self, spec: ResolvedJobSpec, *, asks_here: bool = True) -> None:
        self.spec = spec
        self.trials: list[Trial] = []
        self._asks_here = asks_here
        self._ready = threading.Event()
        self.search = self._new_search()

    def run(self, n: int, *, kill_between: Collection[int] = (), kill_during: Collection[int] = ()) -> list[Trial]:
        """Run trials; before the numbers in `kill_between`, and while those in `kill_during` run, the worker dies."""
        try:
            for number in range(n):
                if number in kill_between:
                    self.rebuild()
                self._start(number)
                if number in kill_during:
                    self.rebuild()
                self._finish(number)
        finally:
            self.search.shut()
        return self.trials

    def rebuild(self) -> None:
        self.search.shut()
        self.search = self._new_search()
        self.search.restore(self.trials, [])

    def _new_search(self) -> Search:
        return Search("job-under-test", self.spec, self._ready.set, asks_here=self._asks_here)

    def _start(self, number: int) -> None:
        proposal = self._propose(number)
        attrs = dict(proposal.study_attrs)
        self.trials.append(bare_trial(number, state=TrialState.QUEUED, params=proposal.params, study_attrs=attrs))
        self.search.open(number, proposal)

    def _propose(self, number: int) -> Proposal:
        while (proposal := self.search.propose(number)) is None:
            assert self.search.is_thinking, "there is always something left to propose here"
            assert self._ready.wait(60.0), "no answer in a minute"
            self._ready.clear()
        return proposal

    def _finish(self, number: int) -> None:
        trial = self.trials[number]
        attrs = self.search.study_attrs(number)
        *_, end = valley(trial.params)
        worst = self._worst()
        if isinstance(end, Outcome) or float(trial.params["learning_rate"]) > 1.0:
            state, told, values = TrialState.INFEASIBLE, worst, {}
            self.search.close(number, state, told, reason=TrialReason.DIVERGED)
            ended = replace(trial, state=state, reason=TrialReason.DIVERGED, stand_in=told, study_attrs=attrs)
        else:
            state, values = TrialState.COMPLETED, {"loss": end}
            self.search.close(number, state, [end])
            ended = replace(trial, state=state, values=values, objective=end, study_attrs=attrs)
        self.trials[number] = ended
        if state is TrialState.COMPLETED and worst is None and number:
            self._give_stand_ins((float(values["loss"]),))

    def _worst(self) -> tuple[float, ...] | None:
        losses = [trial.objective for trial in self.trials if trial.objective is not None]
        return (max(losses),) if losses else None

    def _give_stand_ins(self, told: tuple[float, ...]) -> None:
        """The first feasible value: as the worker does, write it to the infeasible trials and rebuild."""
        infeasible = TrialState.INFEASIBLE
        self.trials = [replace(trial, stand_in=told) if trial.state is infeasible else trial for trial in self.trials]
        self.rebuild()


@pytest.mark.parametrize("sampler", [pytest.param("gp", marks=pytest.mark.slow), "cmaes", "nsgaii"])
def test_resumed_heavy_search_equals_uninterrupted(sampler: str) -> None:
    n = N_HEAVY_TRIALS[sampler]
    whole = Book(wide_spec(sampler)).run(n)
    killed = Book(wide_spec(sampler)).run(n, kill_between=range(0, n, 3), kill_during=range(2, n, 4))

    assert any(trial.state is TrialState.INFEASIBLE for trial in whole)
    assert [visible(trial) for trial in killed] == [visible(trial) for trial in whole]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", HEAVY)
def test_a_process_of_its_own_proposes_what_this_one_would(sampler: str) -> None:
    n = min(8, N_HEAVY_TRIALS[sampler])
    apart = Book(wide_spec(sampler), asks_here=False).run(n, kill_during=[3])
    assert [visible(trial) for trial in apart] == [visible(trial) for trial in Book(wide_spec(sampler)).run(n)]


def visible(trial: Trial) -> dict[str, Any]:
    """What must be equal of a heavy sampler's trial: all but the bytes of CMA-ES, which pickles unused memory."""
    attrs = {key: value for key, value in trial.study_attrs.items() if not key.startswith("cma:optimizer")}
    return essence(trial) | {"study_attrs": attrs}


@pytest.mark.parametrize("sampler", [*HEAVY, "tpe", "random", "qmc"])
def test_every_sampler_keeps_to_the_space_and_its_constraints(sampler: str) -> None:
    spec = wide_spec(sampler)
    assert spec.search_space is not None
    for trial in Book(spec).run(N_HEAVY_TRIALS.get(sampler, 40)):
        applying = {name for name, parameter in spec.search_space.items() if applies(parameter, trial.params)}
        assert trial.params.keys() == applying
        assert all(spec.search_space[name].contains(value) for name, value in trial.params.items())
        assert int(trial.params["batch_size"]) * int(trial.params["width"]) <= 32768


@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: pruner["name"])
def test_a_nan_report_changes_no_other_trials_verdict(pruner: dict[str, Any]) -> None:
    assert verdicts(pruner, first=math.nan) == verdicts(pruner, first=None)


def verdicts(pruner: dict[str, Any], *, first: float | None) -> list[bool]:
    """Return what trials are told that run beside one whose only report is `first`; None: it reports nothing."""
    spec = make_spec(pruner=pruner, sampler={"name": "random", "seed": 0})
    search = Search("job-under-test", spec, last_step=lambda params: 5)
    for number in range(9):
        proposal = search.propose(number)
        assert proposal is not None
        search.open(number, proposal)
    if first is not None:
        assert not search.report(0, 1, {"loss": first})
    told = [
        search.report(number, step, {"loss": number + 1.0 / step}) for step in (1, 2, 3, 4) for number in range(1, 9)
    ]
    assert any(told) or pruner["name"] in ("none", "patient", "median", "percentile"), "the pruner must have had a say"
    return told


def test_ten_thousand_trials_are_rebuilt_in_two_seconds() -> None:
    spec = make_spec(pruner={"name": "median"}, sampler={"name": "tpe", "seed": 0})
    trials = [finished_trial(number) for number in range(10_000)]
    reports = [Report(number, step, {"loss": 1.0}, 0.1) for number in range(10_000) for step in range(1, 6)]
    started = time.process_time()  # not wall time: the machine may be busy with other things
    search = Search("job", spec)
    search.restore(trials, reports)
    assert time.process_time() - started < 2.0
    proposal = search.propose(10_000)
    assert proposal is not None
    assert set(proposal.params) == {"learning_rate"}


def finished_trial(number: int) -> Trial:
    loss = 1.0 + number % 7
    params: dict[str, Scalar] = {"learning_rate": 1e-5 * (1 + number)}
    return bare_trial(number, state=TrialState.COMPLETED, params=params, values={"loss": loss}, objective=loss)
