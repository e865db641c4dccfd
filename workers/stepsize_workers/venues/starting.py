"""Which trials start next in the slots of this worker, each alone or several in a group."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from stepsize.domain.trial import GroupHow, Trial, TrialGroup
from stepsize.spec.space import Params
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Measured, Places, Vacant
from stepsize_workers.held_job import HeldJob
from stepsize_workers.tuner import Draft, Tuner
from stepsize_workers.venues.company import Company, Waiting, due_of
from stepsize_workers.venues.conclusions import Running
from stepsize_workers.venues.launching import Launch, Launcher


@dataclass
class Roster:
    """The trials of one job that run in this worker's slots, and those that wait."""

    running: dict[int, Running] = field(default_factory=dict)
    queued: list[Trial] = field(default_factory=list)
    late: dict[str, list[Waiting]] = field(default_factory=dict)
    """By group, the trials that come back to it once it is as far as they were, and start nowhere else."""

    def forget_groups_that_ended(self) -> None:
        """Let trials that were to come back to a group that is no more start anywhere."""
        groups = {run.group_id for run in self.running.values()}
        self.late = {group: late for group, late in self.late.items() if group in groups}


class Starter:
    """Starts the trials of one job: proposed, recorded as running, handed to the engine."""

    def __init__(self, held: HeldJob, tuner: Tuner, company: Company, roster: Roster) -> None:
        self._held = held
        self._tuner = tuner
        self._company = company
        self._roster = roster
        self._launcher = Launcher(held, tuner)

    @property
    def room(self) -> int:
        """How many more trials may run at once."""
        n_slots = len(self._held.site.engine.slots)
        parallel = self._held.spec.budget.max_parallel_trials or n_slots * self._company.n_places
        return parallel - len(self._roster.running)

    def waiting(self) -> list[Trial]:
        """Return the trials of the record that may start anywhere."""
        late = {one.trial.number for waiting in self._roster.late.values() for one in waiting}
        return [trial for trial in self._tuner.startable(self._roster.queued) if trial.number not in late]

    def start(self, slots: Sequence[SlotRecord]) -> None:
        """Start what is to run next in these free slots, as far as there is anything."""
        if self._company.n_places > 1:
            for slot in slots:
                if not self._start_group(slot):
                    return
            return
        drafts = self._tuner.next_drafts(self._tuner.startable(self._roster.queued), len(slots))
        if not drafts:
            return
        for run in self._launch([Launch(slot, draft) for slot, draft in zip(slots, drafts, strict=False)]):
            self._launcher.hand_over([run])

    def _start_group(self, slot: SlotRecord) -> bool:
        """Start a group in a slot, one that was interrupted where it was; False: there is nothing to start."""
        waiting = self.waiting()
        first = self._company.first_of(waiting)
        drafts = self._tuner.next_drafts([first] if first else [], min(1, self.room))
        if not drafts:
            return False
        (leader,) = drafts
        params = leader.proposal.params
        place = self._company.first_place(leader.queued, params, n_to_share=self._n_to_share())
        clock = due_of(leader.queued, place)
        others = [trial for trial in waiting if first is None or trial.number != first.number]
        goes_on = place.awaits
        back = [trial for trial in others if goes_on and _goes_back(trial, place)]
        late = [Waiting(trial, due) for trial in back if (due := due_of(trial, place)) > clock]
        mates = [trial for trial in back if due_of(trial, place) <= clock]
        n_free = place.most - 1 - len(back) if place.how is GroupHow.FUSED else 0
        if goes_on:
            n_free = self._company.n_to_join(place, n_free=n_free, clock=clock)
        elif place.how is GroupHow.FUSED:
            mates = [trial for trial in others if self._company.belongs(trial, params)][:n_free]
            n_free -= len(mates)
        company = self._drafts_for(mates, n_free, params, n_drafted=int(leader.queued is None))
        size = 1 + len(company)
        launches = [Launch(slot, leader, place if goes_on else replace(place, size=size))]
        launches += [
            Launch(slot, one, self._company.place(place, one.queued, size=size, clock=clock)) for one in company
        ]
        runs = self._launch(launches)
        if not runs:
            return True
        self._roster.late[runs[0].group_id] = late
        is_open = bool(late) or self._company.awaits_round(place, clock=clock)
        measures = place.how is GroupHow.MEASURING
        self._launcher.hand_over(runs, Places(place.most, is_open=is_open, measures=measures))
        return True

    def settle(self, measured: Measured) -> None:
        """Say how many are to be trained with a trial that has measured that, and who; its place is in the record."""
        run = self._roster.running[measured.key.number]
        group = run.group
        if group is None or group.how is not GroupHow.FUSED or run.stop_because is not None or run.shutting_down:
            self._held.site.engine.join(measured.key, [], n_places=1)
            return
        mates = [trial for trial in self.waiting() if self._company.belongs(trial, run.params)][: group.most - 1]
        drafts = self._drafts_for(mates, group.most - 1 - len(mates), run.params)
        size = 1 + len(drafts)
        launches = [Launch(run.slot, one, self._company.place(group, one.queued, size=size, clock=0)) for one in drafts]
        runs = self._launch(launches) if launches else []
        joiners = [self._launcher.assignment(one) for one in runs]
        self._held.site.engine.join(measured.key, joiners, n_places=group.most)

    def _n_to_share(self) -> int:
        """Return how many of the trials that are not done fall to one of the slots that this job may have."""
        slots = [slot for slot in self._held.site.engine.slots if self._held.fits(slot)]
        n_left = (
            len(self._roster.running) + len(self._tuner.startable(self._roster.queued)) + self._tuner.n_to_propose()
        )
        at_once = self._held.spec.budget.max_parallel_trials or n_left
        return math.ceil(min(n_left, at_once) / max(1, len(slots)))

    def fill(self, vacant: Vacant, *, may_refill: bool) -> None:
        """Say who comes to the free places of a group, which waits for that."""
        run = self._roster.running[vacant.key.number]
        group = run.group
        assert group is not None, "only groups have places"
        clock = group.joined + (run.step or 0)
        late = self._roster.late.get(group.id, [])
        back = [one.trial for one in late if one.due <= clock]
        self._roster.late[group.id] = late = [one for one in late if one.due > clock]
        n_new = 0
        if may_refill:
            n_free = vacant.n_places - len(back) - len(late)
            n_new = self._company.n_to_join(group, n_free=n_free, clock=clock)
        queued = {trial.number for trial in self._roster.queued}
        mates = [trial for trial in back if trial.number in queued]
        others = [trial for trial in self.waiting() if trial.number not in {one.number for one in mates}]
        more = [trial for trial in others if self._company.belongs(trial, run.params)][:n_new]
        drafts = self._drafts_for([*mates, *more], n_new - len(more), run.params)
        n_live = sum(1 for one in self._roster.running.values() if one.group_id == group.id)
        launches = [
            Launch(
                run.slot,
                draft,
                self._company.place(group, draft.queued, size=n_live + len(drafts), clock=clock),
            )
            for draft in drafts
        ]
        runs = self._launch(launches) if launches else []
        ask_again = bool(late) or self._company.awaits_round(group, clock=clock)
        joiners = [self._launcher.assignment(one) for one in runs]
        self._held.site.engine.join(vacant.key, joiners, ask_again=ask_again)

    def _drafts_for(self, mates: Sequence[Trial], n_new: int, params: Params, *, n_drafted: int = 0) -> list[Draft]:
        """Return who is to come to a group: trials that wait, then new ones that share what they must."""
        n = min(self.room - 1 if n_drafted else self.room, len(mates) + max(0, n_new))
        like = self._company.like(params)
        return self._tuner.next_drafts(mates, n, like=like, n_drafted=n_drafted)

    def _launch(self, launches: Sequence[Launch]) -> list[Running]:
        """Record trials as running; return those that are."""
        drafted = {launch.draft.queued.number: launch.draft.queued for launch in launches if launch.draft.queued}
        self._roster.queued = [trial for trial in self._roster.queued if trial.number not in drafted]
        runs = self._launcher.launch(launches, under_way=self._roster.running)
        self._roster.running |= {run.key.number: run for run in runs}
        for run in runs:
            trial = drafted.get(run.key.number)
            is_back = trial is not None and trial.group is not None and run.group == trial.group
            self._company.enter(run, is_new=not is_back)
        return runs


def _goes_back(trial: Trial, place: TrialGroup) -> bool:
    return trial.group is not None and trial.group.awaits and trial.group.id == place.id
