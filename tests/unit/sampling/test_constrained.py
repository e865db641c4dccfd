"""Optuna's constraints: for the heavy samplers that model them, and for nobody else."""

import pytest

from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.space import Params
from stepsize_workers.search import Search
from stepsize_workers.warm_start import EarlierTrial
from tests.builders import make_spec


def run(sampler: str, *, is_replica: bool) -> tuple[Search, list[Params]]:
    """Run a search in which rates above 0.01 diverge, after one earlier trial; return it and what it proposed."""
    search = Search("job", make_spec(sampler={"name": sampler, "seed": 4}), asks_here=is_replica)
    search.warm([EarlierTrial({"learning_rate": 1e-4}, (9.0,), TrialState.COMPLETED, None)])
    proposed: list[Params] = []
    for number in range(25):
        proposal = search.propose(number)
        assert proposal is not None
        search.open(number, proposal)
        proposed.append(proposal.params)
        if float(proposal.params["learning_rate"]) > 0.01:
            search.close(number, TrialState.INFEASIBLE, [9.0], reason=TrialReason.DIVERGED)
        else:
            search.close(number, TrialState.COMPLETED, [float(number % 5)])
    return search, proposed


@pytest.mark.parametrize("sampler", ["nsgaii", "tpe"])
def test_every_trial_of_a_replica_carries_the_constraint(sampler: str) -> None:
    search, _ = run(sampler, is_replica=True)
    carried = search.study.constraints
    assert len(carried) == 26
    assert {tuple(constraints.items()) for constraints in carried} == {(("feasible", -1.0),), (("feasible", 1.0),)}


def test_the_workers_own_study_carries_none_and_proposes_the_same() -> None:
    replica, proposed_there = run("tpe", is_replica=True)
    search, proposed = run("tpe", is_replica=False)
    assert not any(search.study.constraints)
    assert any(constraints["feasible"] > 0 for constraints in replica.study.constraints)
    assert proposed == proposed_there
