"""A job's search without a service: trials one after another, as a worker would run them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar
from stepsize_workers.search import Search

Params = Mapping[str, Scalar]
Train = Callable[[int, Params], float | None]
"""From a trial's number and parameters to its objective; None: it diverged."""


@dataclass(frozen=True)
class Played:
    """One trial that was played."""

    number: int
    params: dict[str, Scalar]
    value: float | None
    """Of the objective; None: it diverged."""


def play(spec: ResolvedJobSpec, train: Train, n_trials: int) -> list[Played]:
    """Search as a worker does: an infeasible trial gets the worst feasible value so far as its stand-in."""
    assert spec.objectives is not None
    search, direction = Search("bench", spec), spec.objectives[0].direction
    played: list[Played] = []
    worst: float | None = None
    waiting: list[int] = []
    for number in range(n_trials):
        proposal = search.propose(number)
        assert proposal is not None, "a continuous space has no end"
        search.open(number, proposal)
        value = train(number, proposal.params)
        played.append(Played(number, dict(proposal.params), value))
        if value is None:
            stand_in = None if worst is None else [worst]
            search.close(number, TrialState.INFEASIBLE, stand_in, reason=TrialReason.DIVERGED)
            waiting += [number] if stand_in is None else []
            continue
        worst = value if worst is None or direction.is_better(worst, than=value) else worst
        search.close(number, TrialState.COMPLETED, [value])
        for other in waiting:
            search.close(other, TrialState.INFEASIBLE, [worst], reason=TrialReason.DIVERGED)
        waiting = []
    return played
