"""Jobs whose answers are judged: searched by the product's own search, over kept trainings or live ones.

Every trial trains with a seed of its own. As jobs do, they keep 15 % of their trials to check the answer. Some search a
choice as well: between landscapes that are the same (one choice under two names: whoever tells them apart is wrong),
or of which one is worse by a known factor.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np

from benchmarks.playing import Game, Params, Played
from benchmarks.truth.training import train_watched
from benchmarks.truth.valleys import Landscape
from stepsize.analysis.answer import make_answer
from stepsize.domain.confirmation import Recommendation, draw_checks
from stepsize.domain.evidence import Evidence, TrialColumns
from stepsize.domain.seeds import derive_seed
from stepsize.domain.soft_bounds import Edge
from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.confirm import n_kept
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar

N_TRIALS = 60
CHOICE = "choice"
"""The name of the searched choice, where there is one."""


class Source(Protocol):
    """Where the cost of a trial comes from."""

    def cost(self, number: int, params: Params) -> float | None:
        """Return the cost of a training with a seed of its own; None: it diverged."""


@dataclass(frozen=True)
class Kept:
    """Draws from kept trainings."""

    landscape: Landscape
    rng: np.random.Generator

    def cost(self, number: int, params: Params) -> float | None:
        """Return a cost that a training might have had."""
        valley = self.landscape.valleys[int(params["batch_size"])]
        return valley.draw(math.log10(float(params["learning_rate"])), self.rng)


@dataclass(frozen=True)
class Live:
    """Trains each trial."""

    landscape: Landscape
    seed: int
    data_dir: Path

    def cost(self, number: int, params: Params) -> float | None:
        """Train once."""
        value = train_watched(
            self.landscape.task,
            self.landscape.metric,
            batch_size=int(params["batch_size"]),
            learning_rate=float(params["learning_rate"]),
            seed=derive_seed(self.seed, "live", number),
            data_dir=self.data_dir,
        )
        if value is None:
            return None
        return value if self.landscape.is_loss else 1.0 - value


@dataclass(frozen=True)
class Job:
    """One job that has been played."""

    landscape: Landscape
    is_live: bool
    trials: Sequence[Played]
    evidence: Evidence


def play_job(
    landscape: Landscape,
    source: Source,
    *,
    seed: int,
    factors: Mapping[str, float] = MappingProxyType({}),
    n_trials: int = N_TRIALS,
    soft: Sequence[Edge] = (),
) -> Job:
    """Play one job.

    Args:
        soft: bounds of the learning rate that a range test found.
        factors: the choices there are and by how much each one's costs are larger; empty: no choice is searched.
    """
    spec = spec_of(landscape, seed, list(factors))

    def train(number: int, params: Params) -> float | None:
        cost = source.cost(number, params)
        if cost is None:
            return None
        cost *= factors[str(params[CHOICE])] if factors else 1.0
        return cost if landscape.is_loss else 1.0 - min(cost, 1.0)

    n_checks = n_kept(True, n_trials)
    game = Game(spec, train, soft=soft)
    game.search(n_trials - n_checks)
    checks = _checks(evidence_of(landscape, game.spec, game.played), n_checks)
    game.check(checks)
    game.search(n_checks - len(checks))  # without an answer they go back to the search
    return Job(landscape, isinstance(source, Live), game.played, evidence_of(landscape, game.spec, game.played))


def _checks(evidence: Evidence, n: int) -> list[dict[str, Scalar]]:
    """Return what a worker would train to check the answer."""
    answer, objective = make_answer(evidence), evidence.objectives[0]
    done = [
        (objective.direction.cost(values[objective.metric]), number, params)
        for number, params, values in zip(
            evidence.trials.number, evidence.trials.params, evidence.trials.values, strict=True
        )
        if values
    ]
    best = [params for _, _, params in sorted(done, key=lambda one: one[:2])]
    return draw_checks(Recommendation.of(answer), best, evidence.space, n)


def spec_of(landscape: Landscape, seed: int, choices: Sequence[str]) -> ResolvedJobSpec:
    """Return the job a user would send."""
    task, sizes = landscape.task, list(landscape.valleys)
    space: dict[str, object] = {
        "learning_rate": {"type": "float", "low": task.low, "high": task.high, "log": True},
        "batch_size": {"type": "int", "low": min(sizes), "high": max(sizes), "powers_of_two": True},
    }
    if choices:
        space[CHOICE] = {"type": "categorical", "choices": list(choices)}
    return ResolvedJobSpec.model_validate(
        {
            "trainer": {"name": task.trainer, "version": "1"},
            "search_space": space,
            "objectives": [objective_of(landscape).model_dump(mode="json")],
            "sampler": {"name": "tpe", "seed": seed},
            "budget": {"max_trials": N_TRIALS},
        }
    )


def objective_of(landscape: Landscape) -> Objective:
    """Return what the job optimises."""
    direction = Direction.MINIMIZE if landscape.is_loss else Direction.MAXIMIZE
    return Objective(metric=landscape.metric, direction=direction)


def evidence_of(landscape: Landscape, spec: ResolvedJobSpec, trials: Sequence[Played]) -> Evidence:
    """Return the job as the report sees it."""
    diverged = [trial.value is None for trial in trials]
    states = [TrialState.INFEASIBLE if bad else TrialState.COMPLETED for bad in diverged]
    assert spec.search_space is not None
    return Evidence(
        job_id=f"job_{spec.sampler.seed}",
        job_name=landscape.name,
        change=len(trials),
        trainer=landscape.task.trainer,
        fixed={},
        space=spec.search_space,
        objectives=(objective_of(landscape),),
        counts={state.value: states.count(state) for state in set(states)},
        trials=TrialColumns(
            number=[trial.number for trial in trials],
            state=[state.value for state in states],
            reason=[TrialReason.DIVERGED.value if bad else None for bad in diverged],
            params=[trial.params for trial in trials],
            values=[{} if trial.value is None else {landscape.metric: trial.value} for trial in trials],
            step=[5 for _ in trials],
            replicate_of=[None for _ in trials],
            purpose=["confirm" if trial.checks else "search" for trial in trials],
            seed=[derive_seed(spec.sampler.seed or 0, trial.number) for trial in trials],
            started_at=[1.0 for _ in trials],
            finished_at=[2.0 for _ in trials],
            attempt=[1 for _ in trials],
        ),
        seed=spec.seed,
        rungs=[],
    )
