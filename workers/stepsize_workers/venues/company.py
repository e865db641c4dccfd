"""Which trials of a job train as one: whom a group may take in, and what is known of the groups there were.

All of it follows from the record: a worker that takes the job over goes on with the groups it finds there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from stepsize.domain.job import JobKind
from stepsize.domain.trainer import TrainerCard
from stepsize.domain.trial import GroupHow, Trial, TrialGroup, TrialState
from stepsize.spec.space import Params, Scalar
from stepsize_workers.engines.base import Ended, Fault, Outcome
from stepsize_workers.held_job import HeldJob
from stepsize_workers.venues.conclusions import Running

_MOST_TURNS = 2
"""How many times over a group's places are filled: then it runs out, and the next group may be of another shape."""
WHY_FUSED = "its shape is that of the others, and its trainer trains them as one"
WHY_APART = "its group ended, and nobody can say through which of its trials: each is tried by itself"

Shape = frozenset[tuple[str, Scalar]]
"""The searched parameters that all trials of a group share."""


@dataclass
class Group:
    """A group under way, or one that was and goes on."""

    n_trials: int = 0
    """All that were ever in it."""
    refills_from: int = 0
    """The round in which the last of those that ended did: no place is filled before the others are as far."""


@dataclass(frozen=True)
class Waiting:
    """A trial that is to come back to its group when that is as far as the trial was."""

    trial: Trial
    due: int


@dataclass
class Company:
    """The groups of one job."""

    held: HeldJob
    _groups: dict[str, Group] = field(default_factory=dict)
    _most: dict[Shape, int] = field(default_factory=dict)
    """How many fit, where all did not."""
    _refused: dict[Shape, str] = field(default_factory=dict)
    _halved: set[str] = field(default_factory=set)
    """Groups that did not fit: each of their trials says so, and one of them counts."""

    @property
    def n_places(self) -> int:
        """How many trials the job lets train as one; 1: each alone, and nothing is said of groups."""
        return self.held.spec.resources.fuse if self.held.job.kind is JobKind.TUNE else 1

    def restore(self, trials: Iterable[Trial]) -> None:
        """Learn of the groups in the record."""
        self._groups, self._most, self._refused, self._halved = {}, {}, {}, set()
        for trial in trials:
            group = trial.group
            if group is None:
                continue
            shape = self.shape_of(trial.params)
            if group.how is GroupHow.ALONE and self._why_never is None:
                self._refused[shape] = group.why
            elif group.how is GroupHow.FUSED:
                self._most[shape] = min(group.most, self._most.get(shape, group.most))
                self._entered(group.id)
                if trial.state.is_finished:
                    self._left(group, trial.step, trial.state)

    # -- what may be together ----------------------------------------------------------------------------------------

    def like(self, params: Params) -> dict[str, Scalar]:
        """Return what a trial that trains with this one must share."""
        card = self._card
        free = set(card.capabilities.fuse.free) if card and card.capabilities.fuse else set()
        return {name: value for name, value in params.items() if name not in free}

    def shape_of(self, params: Params) -> Shape:
        """Return what stands for `like` in look-ups."""
        return frozenset(self.like(params).items())

    def why_alone(self, params: Params) -> str | None:
        """Return why a trial can have no company; None: it can."""
        return self._why_never or self._refused.get(self.shape_of(params))

    def most(self, params: Params) -> int:
        """Return how many trials like this one may be trained at once."""
        if self.why_alone(params):
            return 1
        return min(self.n_places, self._most.get(self.shape_of(params), self.n_places))

    def first_of(self, waiting: Sequence[Trial]) -> Trial | None:
        """Return which of the trials that wait begins a group; of an interrupted one whoever is least far."""
        if not waiting:
            return None
        group = waiting[0].group
        if group is None or group.how is not GroupHow.FUSED or not group.id:
            return waiting[0]
        back = [trial for trial in waiting if trial.group is not None and trial.group.id == group.id]
        return min(back, key=lambda trial: (due_of(trial, group), trial.number))

    def belongs(self, trial: Trial, params: Params) -> bool:
        """Tell whether a trial that waits may be trained with one of these parameters."""
        if trial.group is not None and (trial.group.how is not GroupHow.FUSED or trial.group.id):
            return False  # it is to be alone, or has a group of its own to go back to
        return self.shape_of(trial.params) == self.shape_of(params)

    # -- what becomes of groups --------------------------------------------------------------------------------------

    def first_place(self, trial: Trial | None, params: Params) -> TrialGroup:
        """Return the place of the first trial of a group; one with an empty id is named by its trial's number."""
        had = trial.group if trial else None
        if had is not None and had.how is GroupHow.FUSED:
            return replace(had, most=self.most(params))
        if had is not None and had.how is GroupHow.APART:
            return replace(had, id="")
        why = self.why_alone(params)
        returned = had.returned if had else 0
        how = GroupHow.FUSED if why is None else GroupHow.ALONE
        return TrialGroup("", 1, how, why or WHY_FUSED, most=self.most(params), returned=returned)

    def place(self, group: TrialGroup, trial: Trial | None, *, size: int, clock: int) -> TrialGroup:
        """Return the place of a trial that comes to a group after a round of it."""
        had = trial.group if trial else None
        if had is not None and had.id == group.id:
            return had
        done = (trial.checkpoint_step or 0) if trial else 0
        returned = had.returned if had else 0
        return replace(group, size=size, joined=clock - done, returned=returned)

    def n_to_join(self, group: TrialGroup, *, n_free: int, clock: int) -> int:
        """Return how many more trials a group may take in after a round of it."""
        known = self._groups.get(group.id, Group())
        if clock < known.refills_from:
            return 0
        return max(0, min(n_free, _MOST_TURNS * group.most - known.n_trials))

    def awaits_round(self, group: TrialGroup, *, clock: int) -> bool:
        """Tell whether a group has places that are to be filled in a later round."""
        known = self._groups.get(group.id, Group())
        return clock < known.refills_from and known.n_trials < _MOST_TURNS * group.most

    def enter(self, run: Running, *, is_new: bool) -> None:
        """Note that a trial is under way in its group."""
        if run.group is not None and run.group.how is GroupHow.FUSED and is_new:
            self._entered(run.group.id)

    def leave(self, run: Running, state: TrialState) -> None:
        """Note that a trial has left its group for good."""
        if run.group is not None and run.group.how is GroupHow.FUSED:
            self._left(run.group, run.step, state)

    def refuse(self, params: Params, why: str) -> None:
        """Note that trials like this one can't be trained as one."""
        self._refused[self.shape_of(params)] = why

    def after(self, ended: Ended, run: Running, *, n_live: int) -> TrialGroup | None:
        """Return the place of a trial that waits again since its attempt ended through others.

        Args:
            n_live: how many were in its group then.
        """
        had = run.group
        if had is None:
            return None
        back = replace(had, returned=had.returned + 1)
        if ended.outcome is Outcome.RETURNED:
            why = self._refused.get(self.shape_of(run.params), had.why)
            return replace(back, how=GroupHow.ALONE, why=why, size=1, most=1)
        if ended.fault is Fault.OTHER:
            return back
        if ended.outcome is not Outcome.OOM:
            return replace(back, how=GroupHow.APART, why=WHY_APART, size=1, most=1)
        shape = self.shape_of(run.params)
        if had.id not in self._halved:
            self._halved.add(had.id)
            self._most[shape] = max(1, n_live // 2)
        why = f"{WHY_FUSED}; of more than {self._most[shape]} together memory ran out"
        return replace(back, id="", why=why, most=self._most[shape])

    @property
    def _why_never(self) -> str | None:
        card, sampler = self._card, self.held.spec.sampler
        if card is None or card.capabilities.fuse is None:
            return f"{self.held.spec.trainer.name} trains each trial alone"
        if sampler.is_heavy:
            return f"{sampler.name} proposes one configuration at a time, none beside another"
        return None

    @property
    def _card(self) -> TrainerCard | None:
        trainer = self.held.spec.trainer
        return self.held.site.cards.get((trainer.name, trainer.version))

    def _entered(self, group_id: str) -> None:
        self._groups.setdefault(group_id, Group()).n_trials += 1

    def _left(self, group: TrialGroup, step: int | None, state: TrialState) -> None:
        known = self._groups.setdefault(group.id, Group())
        breaks_off = state in (TrialState.INFEASIBLE, TrialState.FAILED)  # in the round after its last report
        known.refills_from = max(known.refills_from, group.joined + (step or 0) + breaks_off)


def due_of(trial: Trial | None, group: TrialGroup) -> int:
    """Return the round of its group after which a trial goes on."""
    if trial is None:
        return group.joined
    joined = trial.group.joined if trial.group else group.joined
    return joined + (trial.checkpoint_step or 0)
