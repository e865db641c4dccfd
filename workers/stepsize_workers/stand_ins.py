"""What infeasible trials are told to the study as: their stand-ins.

A trial that diverged has no value, and yet the study must keep away from where it was. The rule:
  * it is told the worst feasible value of each objective that came before its own end;
  * where none came before, it waits. To the study it runs on, until the first feasible values there are become the
    stand-in of all that wait;
  * Optuna's trials take back nothing: once some that waited are given theirs, the study is rebuilt from the record.
What comes before what is the order of the commits; within one commit the caller's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from stepsize.domain.trial import TrialReason, TrialState
from stepsize.spec.objective import Objective
from stepsize.spec.space import Params
from stepsize.store.ledger import Ledger

Values = tuple[float, ...]
"""Of the objectives, in their order."""


@dataclass(frozen=True)
class End:
    """How a trial of the search has ended, or is about to in the next commit."""

    number: int
    params: Params
    state: TrialState
    reason: TrialReason | None = None
    values: Values | None = None
    """Feasible trials only."""
    stand_in: Values | None = None
    """What the record has already."""

    @property
    def lacks_stand_in(self) -> bool:
        return self.state is TrialState.INFEASIBLE and self.stand_in is None


@dataclass(frozen=True)
class Foreseen:
    """What follows from ends for the stand-ins, decided before the commit that writes it."""

    by_number: Mapping[int, Values]
    """Stand-ins of the ends themselves."""
    first: Values | None = None
    """The first feasible values there are: what every infeasible trial is told that still has no stand-in."""
    frees_some: bool = False
    """Whether any trial that waited has a stand-in now: then the study is to be rebuilt from the record."""

    def __bool__(self) -> bool:
        return bool(self.by_number) or self.frees_some

    def applied_to(self, ends: Iterable[End]) -> list[End]:
        """Return the ends as the record has them once this is written."""
        return [replace(end, stand_in=self.by_number.get(end.number, end.stand_in)) for end in ends]

    def write(self, ledger: Ledger) -> None:
        """Write the stand-ins of trials whose ends are in the record."""
        for number, values in self.by_number.items():
            ledger.touch_trial(number, stand_in=list(values))
        if self.first is not None:
            ledger.give_stand_ins(self.first)


class StandIns:
    """Knows the worst feasible values of a search so far, and who waits for any."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._directions = [objective.direction for objective in objectives]
        self._worst: Values | None = None
        self._waiting: set[int] = set()

    def foresee(self, ends: Iterable[End]) -> Foreseen:
        """Return what the rule says of ends that are about to be told to the study; takes nothing in."""
        worst, first, n_waiting = self._worst, None, len(self._waiting)
        by_number: dict[int, Values] = {}
        for end in ends:
            if end.values is not None:
                first = end.values if worst is None else first
                worst = self._worse_of(worst, end.values)
            elif end.lacks_stand_in and worst is not None:
                by_number[end.number] = worst
            elif end.lacks_stand_in:
                n_waiting += 1
        return Foreseen(by_number, first, frees_some=first is not None and n_waiting > 0)

    def take_in(self, end: End) -> None:
        """Take in an end that is told to the study, in the order of the commits."""
        if end.values is not None:
            self._worst = self._worse_of(self._worst, end.values)
        elif end.lacks_stand_in:
            self._waiting.add(end.number)

    def _worse_of(self, old: Values | None, new: Values) -> Values:
        if old is None:
            return new
        return tuple(one.worst(pair) for one, *pair in zip(self._directions, old, new, strict=True))
