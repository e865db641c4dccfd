"""A job's search without a service: trials one after another, as a worker would run them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepsize.domain.soft_bounds import Edge, next_decision
from stepsize.domain.trial import Trial, TrialReason, TrialState
from stepsize.domain.tuning import TuningFindings
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import Scalar
from stepsize_workers.search import Search
from stepsize_workers.widening import decide
from tests.builders import bare_trial

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
    checks: bool = False
    """Whether it checks the answer, and the search knows nothing of it."""


class Game:
    """One job's trials."""

    def __init__(self, spec: ResolvedJobSpec, train: Train, *, soft: Sequence[Edge] = ()) -> None:
        """Begin with none.

        Args:
            soft: bounds of the learning rate that a range test found: they are moved as a worker moves them.
        """
        self.played: list[Played] = []
        self.spec = spec
        """With the bounds that are searched now."""
        self._train = train
        self._objective = spec.objectives[0]
        self._search = Search("bench", spec)
        self._findings = TuningFindings(search_space=spec.search_space, soft=list(soft))
        self._worst: float | None = None
        self._waiting: list[int] = []

    def search(self, n_trials: int) -> None:
        """Search on, as a worker does: an infeasible trial gets the worst feasible value so far as its stand-in."""
        for number in range(len(self.played), len(self.played) + n_trials):
            self._widen()
            proposal = self._search.propose(number)
            assert proposal is not None, "a continuous space has no end"
            self._search.open(number, proposal)
            value = self._train(number, proposal.params)
            self.played.append(Played(number, dict(proposal.params), value))
            if value is None:
                self._fail(number)
            else:
                self._succeed(number, value)

    def check(self, configurations: Sequence[Params]) -> None:
        """Train configurations that the search is not told of."""
        for params in configurations:
            number = len(self.played)
            self.played.append(Played(number, dict(params), self._train(number, params), checks=True))

    def _widen(self) -> None:
        if self._findings.soft and next_decision(len(self.played), self._findings.considered_at) is not None:
            ended = [self._recorded(one) for one in self.played if not one.checks]
            self._findings, found = decide(self._findings, ended, self._objective.direction)
            if found is not None:
                self.spec = self.spec.model_copy(update={"search_space": self._findings.search_space})
                self._search = Search("bench", self.spec)
                self._search.restore(ended, ())

    def _recorded(self, one: Played) -> Trial:
        """Return a trial as the record would have it."""
        stand_in = None if self._worst is None else (self._worst,)
        outcome: dict[str, Any] = (
            {"state": TrialState.INFEASIBLE, "reason": TrialReason.DIVERGED, "stand_in": stand_in, "values": {}}
            if one.value is None
            else {"state": TrialState.COMPLETED, "values": {self._objective.metric: one.value}, "objective": one.value}
        )
        return bare_trial(one.number, params=one.params, **outcome)

    def _fail(self, number: int) -> None:
        stand_in = None if self._worst is None else [self._worst]
        self._search.close(number, TrialState.INFEASIBLE, stand_in, reason=TrialReason.DIVERGED)
        self._waiting += [number] if stand_in is None else []

    def _succeed(self, number: int, value: float) -> None:
        if self._worst is None or self._objective.direction.is_better(self._worst, than=value):
            self._worst = value
        self._search.close(number, TrialState.COMPLETED, [value])
        for other in self._waiting:
            self._search.close(other, TrialState.INFEASIBLE, [self._worst], reason=TrialReason.DIVERGED)
        self._waiting = []


def play(spec: ResolvedJobSpec, train: Train, n_trials: int) -> list[Played]:
    """Return the trials of a search."""
    game = Game(spec, train)
    game.search(n_trials)
    return game.played
