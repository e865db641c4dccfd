"""Which trials of a job train as one: whom a group may take in, and what is known of the groups there were.

All of it follows from the record: a worker that takes the job over goes on with the groups it finds there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from stepsize.domain.job import JobKind
from stepsize.domain.trainer import TrainerCard
from stepsize.domain.trial import GroupHow, Trial, TrialGroup, TrialState
from stepsize.spec.fuse import AUTO, MOST_FUSED
from stepsize.spec.space import Params, Scalar
from stepsize_workers.engines.base import Ended, Fault, Outcome
from stepsize_workers.held_job import HeldJob
from stepsize_workers.venues.choosing import choose_size
from stepsize_workers.venues.conclusions import Running

_MOST_TURNS = 2
"""How many times over a group's places are filled at most: then it runs out, and the next may be of another shape."""
WHY_FUSED = "its shape is that of the others, and its trainer trains them as one"
WHY_APART = "its group ended, and nobody can say through which of its trials: each is tried by itself"
WHY_MEASURING = "how many like it train fastest together is being measured"
WHY_UNMEASURED = (
    "its process ended while it was measured how many like it train fastest together: it is tried by itself"
)
WHY_ONLY = "no other trial is left to train with it"

Shape = frozenset[tuple[str, Scalar]]
"""The searched parameters that all trials of a group share."""


@dataclass
class Group:
    """A group under way, or one that was and goes on."""

    n_trials: int = 0
    """All that were ever in it."""
    n_short: int = 0
    """Those of them that ended before they were complete."""
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
    _measured: dict[Shape, tuple[float, ...]] = field(default_factory=dict)
    """Updates a second of 1, 2, 4, … together; of as many as fit."""
    _halved: set[str] = field(default_factory=set)
    """Groups that did not fit: each of their trials says so, and one of them counts."""

    @property
    def n_places(self) -> int:
        """How many trials the job lets train as one; 1: each alone, and nothing is said of groups."""
        if self.held.job.kind is not JobKind.TUNE:
            return 1
        fuse = self.held.spec.resources.fuse
        return MOST_FUSED if fuse == AUTO else fuse

    @property
    def measures(self) -> bool:
        """Whether how many train as one is left to measurement."""
        return self.held.spec.resources.fuse == AUTO

    def restore(self, trials: Iterable[Trial]) -> None:
        """Learn of the groups in the record."""
        self._groups, self._most, self._refused, self._measured, self._halved = {}, {}, {}, {}, set()
        for trial in trials:
            group = trial.group
            if group is None:
                continue
            shape = self.shape_of(trial.params)
            if group.measured:
                self._note_measured(shape, group.measured)
            if group.how is GroupHow.ALONE and self._why_never is None and not self.measures:
                self._refused[shape] = group.why
            elif group.how is GroupHow.FUSED and group.is_over:
                self._most[shape] = min(group.most, self._most.get(shape, group.most))
            elif group.how is GroupHow.FUSED:
                self._most[shape] = min(group.most, self._most.get(shape, group.most))
                self._entered(group.id)
                if trial.state.is_finished:
                    self._left(group, trial.step, trial.state)

    # -- what may be together ----------------------------------------------------------------------------------------

    def like(self, params: Params) -> dict[str, Scalar]:
        """Return what a trial that trains with this one must share."""
        return {name: value for name, value in params.items() if name not in self._free}

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
        if group is None or not group.awaits:
            return waiting[0]
        back = [one for one in waiting if one.group is not None and one.group.awaits and one.group.id == group.id]
        return min(back, key=lambda trial: (due_of(trial, group), trial.number))

    def belongs(self, trial: Trial, params: Params) -> bool:
        """Tell whether a trial that waits may be trained with one of these parameters."""
        group = trial.group
        if group is not None and (group.awaits or group.how in (GroupHow.ALONE, GroupHow.APART)):
            return False  # it has a group of its own to go back to, or is to be alone
        return self.shape_of(trial.params) == self.shape_of(params)

    # -- what becomes of groups --------------------------------------------------------------------------------------

    def first_place(self, trial: Trial | None, params: Params, *, n_to_share: int) -> TrialGroup:
        """Return the place of the first trial of a group; one with an empty id is named by its trial's number.

        Args:
            n_to_share: trials that are left for a slot of those there are, this one among them.
        """
        had = trial.group if trial else None
        if had is not None and had.awaits:
            return had if self.measures else replace(had, most=self.most(params))
        if had is not None and had.how is GroupHow.APART:
            return replace(had, id="")
        returned = had.returned if had else 0
        if why := self.why_alone(params):
            return TrialGroup("", 1, GroupHow.ALONE, why, returned=returned)
        if not self.measures:
            why = had.why if had is not None and had.is_over else WHY_FUSED
            return TrialGroup("", 1, GroupHow.FUSED, why, most=self.most(params), returned=returned)
        if n_to_share < 2:
            return TrialGroup("", 1, GroupHow.ALONE, WHY_ONLY, returned=returned)
        place = TrialGroup("", 1, GroupHow.MEASURING, WHY_MEASURING, most=n_to_share, returned=returned)
        rates = self._measured.get(self.shape_of(params))
        return place if rates is None else self._chosen(place, rates)

    def measured(self, run: Running, rates: tuple[float, ...]) -> TrialGroup | None:
        """Return the place of a trial that has measured how fast trials like it train together.

        What was measured first counts for all of its shape.
        """
        if run.group is None or not run.is_measuring:
            return run.group
        place = self._chosen(run.group, self._measured.setdefault(self.shape_of(run.params), rates))
        if place.how is GroupHow.FUSED:
            self._entered(place.id)
        return place

    def _chosen(self, place: TrialGroup, rates: tuple[float, ...]) -> TrialGroup:
        choice = choose_size(rates, min(place.most, self.n_places))
        how = GroupHow.FUSED if choice.size > 1 else GroupHow.ALONE
        return replace(place, how=how, why=choice.why, size=choice.size, most=choice.size, measured=rates)

    def _note_measured(self, shape: Shape, rates: tuple[float, ...]) -> None:
        known = self._measured.get(shape, rates)
        self._measured[shape] = min(known, rates, key=len)  # the shorter one is what was left when memory ran out

    def place(self, group: TrialGroup, trial: Trial | None, *, size: int, clock: int) -> TrialGroup:
        """Return the place of a trial that comes to a group after a round of it."""
        had = trial.group if trial else None
        if had is not None and had.awaits and had.id == group.id:
            return had
        done = (trial.checkpoint_step or 0) if trial else 0
        returned = had.returned if had else 0
        return replace(group, size=size, joined=clock - done, returned=returned)

    def n_to_join(self, group: TrialGroup, *, n_free: int, clock: int) -> int:
        """Return how many more trials a group may take in after a round of it."""
        known = self._groups.get(group.id, Group())
        if clock < known.refills_from:
            return 0
        return max(0, min(n_free, self._capacity(group, known) - known.n_trials))

    def awaits_round(self, group: TrialGroup, *, clock: int) -> bool:
        """Tell whether a group has places that are to be filled in a later round."""
        known = self._groups.get(group.id, Group())
        return clock < known.refills_from and known.n_trials < self._capacity(group, known)

    def _capacity(self, group: TrialGroup, known: Group) -> int:
        """Return how many trials a group may take in, first and last.

        Where shapes are searched, whoever completes is not replaced: that would train one shape twice over, and with
        few groups leave other shapes untried.
        """
        more = known.n_short if self._searches_shapes else group.most
        return group.most + min(more, (_MOST_TURNS - 1) * group.most)

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
        if had.how is GroupHow.MEASURING:
            self._refused[self.shape_of(run.params)] = WHY_UNMEASURED
            return replace(back, how=GroupHow.APART, why=WHY_UNMEASURED, size=1, most=1)
        if ended.outcome is not Outcome.OOM:
            return replace(back, how=GroupHow.APART, why=WHY_APART, size=1, most=1)
        return self._halve(back, self.shape_of(run.params), n_live=n_live)

    def _halve(self, group: TrialGroup, shape: Shape, *, n_live: int) -> TrialGroup:
        """Return the place of a trial of a group that did not fit into memory."""
        if group.id not in self._halved:
            self._halved.add(group.id)
            self._most[shape] = most = max(1, n_live // 2)
            if shape in self._measured:
                self._measured[shape] = self._measured[shape][: most.bit_length()]
        most = self._most[shape]
        why = f"{WHY_FUSED}; of more than {most} together memory ran out"
        return replace(group, is_over=True, why=why, most=most, measured=self._measured.get(shape, ()))

    @property
    def _searches_shapes(self) -> bool:
        return not self._free.issuperset(self.held.spec.search_space)

    @property
    def _why_never(self) -> str | None:
        card, sampler = self._card, self.held.spec.sampler
        if card is None or card.capabilities.fuse is None:
            return f"{self.held.spec.trainer.name} trains each trial alone"
        if sampler.is_heavy:
            return f"{sampler.name} proposes one configuration at a time, none beside another"
        return None

    @property
    def _free(self) -> frozenset[str]:
        card = self._card
        return frozenset(card.capabilities.fuse.free) if card and card.capabilities.fuse else frozenset()

    @property
    def _card(self) -> TrainerCard | None:
        trainer = self.held.spec.trainer
        return self.held.site.cards.get((trainer.name, trainer.version))

    def _entered(self, group_id: str) -> None:
        self._groups.setdefault(group_id, Group()).n_trials += 1

    def _left(self, group: TrialGroup, step: int | None, state: TrialState) -> None:
        known = self._groups.setdefault(group.id, Group())
        known.n_short += state is not TrialState.COMPLETED
        breaks_off = state in (TrialState.INFEASIBLE, TrialState.FAILED)  # in the round after its last report
        known.refills_from = max(known.refills_from, group.joined + (step or 0) + breaks_off)


def due_of(trial: Trial | None, group: TrialGroup) -> int:
    """Return the round of its group after which a trial goes on."""
    if trial is None:
        return group.joined
    joined = trial.group.joined if trial.group else group.joined
    return joined + (trial.checkpoint_step or 0)
