"""When a pruner begins to judge, and when it no longer does."""

from typing import Any

import pytest

from stepsize.domain.trial import TrialReason, TrialState
from stepsize_workers.search import Search
from stepsize_workers.warm_start import EarlierTrial
from tests.builders import make_spec


@pytest.mark.parametrize("pruner", ["median", "percentile"])
@pytest.mark.parametrize("silent", ["diverged", "of an earlier job"])
def test_trials_that_reported_nothing_are_none_to_compare_with(pruner: str, silent: str) -> None:
    search = Search("job", make_spec(pruner={"name": pruner, "n_startup_trials": 2}), last_step=lambda params: 2)
    if silent == "diverged":
        for number in range(3):
            open_trial(search, number)
            search.close(number, TrialState.INFEASIBLE, [9.0], reason=TrialReason.DIVERGED)
    else:
        search.warm([EarlierTrial({"learning_rate": 0.1}, (1.0,), TrialState.COMPLETED, None)] * 3)
    assert not complete(search, 3, loss=1.0)
    assert not complete(search, 4, loss=2.0), "one trial is too few to judge by"
    assert complete(search, 5, loss=3.0), "two are enough"


PRUNERS = [
    {"name": "median", "n_startup_trials": 1},
    {"name": "percentile", "n_startup_trials": 1},
    {"name": "asha", "reduction_factor": 2},
    {"name": "threshold", "upper": 2.5},
]


@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: pruner["name"])
def test_a_trial_at_its_last_step_is_left_alone(pruner: dict[str, Any]) -> None:
    spec = make_spec(pruner=pruner)
    losses = [1.0, 2.0, 3.0, 4.0]
    assert not any(stopped(Search("job", spec, last_step=lambda params: 1), losses)), "its work is done"
    assert any(stopped(Search("job", spec, last_step=lambda params: 2), losses)), "and before it, it is judged"


@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: pruner["name"])
def test_where_nobody_knows_the_last_step_it_is_none_once_another_trial_went_on(pruner: dict[str, Any]) -> None:
    spec = make_spec(pruner=pruner)
    losses = [1.0, 2.0, 3.0, 4.0]
    is_absolute = pruner["name"] == "threshold"
    assert any(stopped(Search("job", spec), losses)) is is_absolute, "all end with their first report"
    search = Search("job", spec)
    open_trial(search, 0)
    for step in (1, 2):
        assert not search.report(0, step, {"loss": 1.0}), "nobody has gone beyond"
    search.close(0, TrialState.COMPLETED, [1.0])
    assert any(complete(search, number, loss=loss) for number, loss in enumerate(losses[1:], start=1))


def stopped(search: Search, losses: list[float]) -> list[bool]:
    return [complete(search, number, loss=loss) for number, loss in enumerate(losses)]


def test_a_search_that_is_rebuilt_at_the_last_step_leaves_no_mark_of_it() -> None:
    spec = make_spec(pruner={"name": "asha", "reduction_factor": 2})
    whole = Search("job", spec, last_step=lambda params: 1)
    open_trial(whole, 0)
    whole.report(0, 1, {"loss": 1.0})
    assert whole.study_attrs(0) == {}


def open_trial(search: Search, number: int) -> None:
    proposal = search.propose(number)
    assert proposal is not None
    search.open(number, proposal)


def complete(search: Search, number: int, *, loss: float) -> bool:
    """Run a trial of one report and return whether the pruner would have stopped it."""
    open_trial(search, number)
    would_stop = search.report(number, 1, {"loss": loss})
    search.close(number, TrialState.COMPLETED, [loss])
    return would_stop


def test_jobs_of_one_seed_stop_the_same_trials() -> None:
    def verdicts(job_id: str) -> list[bool]:
        # Reporting once, at the first rung: what is stopped there follows from the brackets.
        spec = make_spec(pruner={"name": "hyperband", "max_resource": 9}, sampler={"name": "random", "seed": 5})
        return stopped(Search(job_id, spec, last_step=lambda params: 9), [float(n) for n in range(24)])

    assert verdicts("one") == verdicts("another")
    assert any(verdicts("one"))
