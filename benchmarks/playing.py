"""A job's search without a service: trials one after another, as a worker would run them."""

from collections.abc import Callable, Mapping, Sequence
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
    checks: bool = False
    """Whether it checks the answer, and the search knows nothing of it."""


class Game:
    """One job's trials."""

    def __init__(self, spec: ResolvedJobSpec, train: Train) -> None:
        self.played: list[Played] = []
        self._train = train
        self._direction = spec.objectives[0].direction
        self._search = Search("bench", spec)
        self._worst: float | None = None
        self._waiting: list[int] = []

    def search(self, n_trials: int) -> None:
        """Search on, as a worker does: an infeasible trial gets the worst feasible value so far as its stand-in."""
        for number in range(len(self.played), len(self.played) + n_trials):
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

    def _fail(self, number: int) -> None:
        stand_in = None if self._worst is None else [self._worst]
        self._search.close(number, TrialState.INFEASIBLE, stand_in, reason=TrialReason.DIVERGED)
        self._waiting += [number] if stand_in is None else []

    def _succeed(self, number: int, value: float) -> None:
        if self._worst is None or self._direction.is_better(self._worst, than=value):
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
