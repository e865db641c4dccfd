"""A group of trials in a slot: their contexts, and what a trainer that trains them as one is given.

All that the worker says to the group is read here and handed on to whom it concerns.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from stepsize.spec.provenance import Provenance
from stepsize_workers.engines.base import (
    Answer,
    Assignment,
    Begun,
    CheckpointSaved,
    Ended,
    Fault,
    Outcome,
    Reported,
    Stop,
    TrialKey,
    Vacant,
)
from stepsize_workers.engines.context import SlotContext
from stepsize_workers.engines.endings import error_of, outcome_of
from stepsize_workers.engines.trial_log import GroupLog
from stepsize_workers.engines.wire import Answers, Group, Joiners, OfRound, Order, SlotEnd
from stepsize_workers.trainers.base import Diverged, Params, TrialContext

MakeParams = Callable[[Assignment], Params]
"""From an assignment to its trainer's checked parameters."""


class MemberContext(SlotContext):
    """The context of one member. What it reports goes through its group, and so does what the worker says to it."""

    def __init__(self, group: "SlotGroup", assignment: Assignment, params: Params, device: str) -> None:
        super().__init__(group.wire, assignment, params, device)
        self._group = group

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        return self in self._group.report({self: (step, values)})

    def should_stop(self) -> bool:
        self._group.hear()
        return self.is_told_to_stop

    def say_saved(self, saved: CheckpointSaved) -> None:
        self._group.saved(saved)

    def measured(self, step: int, values: Mapping[str, float]) -> Reported | None:
        """Return a measurement as it goes over the wire; None: it says nothing new.

        Raises:
            Diverged, ValueError, TypeError: it can't be said.
        """
        said = self.check(step, values)
        if said is None:
            return None
        report = self.reported(*said, waits=self.assignment.waits_for_verdict)
        self.note_said(*said)
        return report


class SlotGroup:
    """The trials of one group, as their trainer sees them: a `GroupContext`. For one thread."""

    def __init__(
        self,
        wire: SlotEnd,
        group: Group,
        make_params: MakeParams,
        device: str,
        log: GroupLog,
        *,
        provenance: Provenance | None = None,
    ) -> None:
        self.wire = wire
        self._provenance = provenance
        self._make_params = make_params
        self._device = device
        self._log = log
        self._n_places = group.places.n
        self._live: dict[TrialKey, MemberContext] = {}
        self._asks = group.places.is_open
        self._joiners: Joiners | None = None
        self._awaited: set[TrialKey] = set()
        """Members whose verdict is still to come."""
        self._saved: list[CheckpointSaved] = []
        self._ends: list[Ended] = []
        """What is so after this round. It is told at once, and the record has all of it or none: a group that is killed
        anywhere goes on with those members that it had, all of them in one round. Ends are told by number: the order
        in which a trainer has its members, another one after an interruption, changes nothing."""
        self._has_reported = False
        """In this round."""
        self._members = tuple(self._welcome(group.members))

    @property
    def members(self) -> Sequence[TrialContext[Params]]:
        return self._members

    @property
    def live(self) -> Sequence[MemberContext]:
        """The members that have not ended."""
        return tuple(self._live.values())

    def joined(self) -> Sequence[TrialContext[Params]]:
        self.hear()
        self._tell_round()
        n_free = self._n_places - len(self._live)
        if not self._asks or not n_free or not self._live:
            return ()
        self._joiners = None
        self.wire.send(Vacant(next(iter(self._live)), n_free))
        while self._joiners is None:
            self._heed(self.wire.receive())
        self._asks = self._joiners.ask_again
        return self._welcome(self._joiners.members)

    def report(
        self, values: Mapping[TrialContext[Params], tuple[int, Mapping[str, float]]]
    ) -> set[TrialContext[Params]]:
        if self._has_reported:  # of the round before: nobody has asked since who has come
            self._tell_round()
        over: set[TrialContext[Params]] = set()
        reports: list[Reported] = []
        for context, (step, numbers) in values.items():
            member = self._find(context)
            if member is None:
                over.add(context)
                continue
            try:
                report = member.measured(step, numbers)
            except Diverged as diverged:
                self.ended(context, diverged)
                over.add(context)
                continue
            if report is not None:
                reports.append(report)
        if reports:
            self._has_reported = True
            self._awaited = {report.key for report in reports if report.waits}
            self.wire.send_round(sorted(reports, key=lambda report: report.key.number))
            while self._awaited:
                self._heed(self.wire.receive())
        self.hear()
        return over | {member for member in self._live.values() if member in values and member.is_told_to_stop}

    def ended(self, member: TrialContext[Params], error: BaseException | None = None) -> None:
        context = self._find(member)
        if context is not None:
            self.end(context, error)

    def end(self, member: MemberContext, error: BaseException | None = None, *, fault: Fault = Fault.OWN) -> None:
        """Tell the worker how a member ended."""
        key = member.assignment.key
        self.hear()
        is_pruned = member.is_pruned
        stopped = Outcome.STOPPED if member.is_told_to_stop else Outcome.COMPLETED
        outcome = stopped if error is None else outcome_of(error)
        self._log.leave(key, error)
        member.end()
        ended = Ended(key, outcome, error_of(error) if error else None, member.artifacts(), member.elapsed_s())
        del self._live[key]
        self._asks = True
        self._ends.append(replace(ended, data_hash=member.data_hash, remark=member.last_remark, fault=fault))
        if outcome is Outcome.STOPPED and not is_pruned:
            self._tell_round()  # somebody waits for it, and a round may be long

    def end_all(self, error: BaseException | None) -> None:
        """End whoever is left now that the trainer is back: complete, or with what it raised."""
        fault = Fault.GROUP if error is not None and len(self._live) > 1 else Fault.OWN
        for member in self.live:
            self.end(member, error, fault=fault)

    def hand_back(self) -> None:
        """Let go of the members: they are run one by one instead."""
        for member in self.live:
            self._log.leave(member.assignment.key, None)
            member.end()
        self._live.clear()

    def tell_last(self, *, leaves_traces: bool) -> None:
        """Tell the worker ends that were not told; the slot is free from then, and is first put in order.

        Args:
            leaves_traces: whether something of them goes on in this process.
        """
        if self._ends:
            last = self._ends.pop()
            self._ends.append(replace(last, leaves_traces=leaves_traces))
            self.wire.send_round(self._of_round())

    def saved(self, checkpoint: CheckpointSaved) -> None:
        """Note that a member can be gone on with from a step."""
        self._saved.append(checkpoint)

    def _tell_round(self) -> None:
        """Tell the worker what is so after a round; while no member is left, that waits for `tell_last`."""
        self._has_reported = False
        if self._live and (words := self._of_round()):
            self.wire.send_round(words)
            self._saved.clear()
            self._ends.clear()

    def _of_round(self) -> list[OfRound]:
        return [*self._saved, *sorted(self._ends, key=lambda ended: ended.key.number)]

    def hear(self) -> None:
        """Take in what the worker has said meanwhile; once all have ended, what it says is for the next trials."""
        while self._live and (order := self.wire.receive(wait=False)) is not None:
            self._heed(order)

    def _heed(self, order: Order | None) -> None:
        match order:
            case Joiners():
                self._joiners = order
            case Answers(verdicts=verdicts):
                for verdict in verdicts:
                    self._tell(verdict)
            case Answer() | Stop():
                self._tell(order)
            case _:
                pass

    def _tell(self, order: Answer | Stop) -> None:
        if isinstance(order, Answer):
            self._awaited.discard(order.key)
        if member := self._live.get(order.key):
            member.heed(order)

    def _welcome(self, assignments: Sequence[Assignment]) -> list[MemberContext]:
        """Make contexts for trials that begin; one whose parameters are refused ends at once."""
        welcome: list[MemberContext] = []
        for assignment in assignments:
            self._log.enter(assignment.key, assignment.trial_dir)
            try:
                member = MemberContext(self, assignment, self._make_params(assignment), self._device)
            except Exception as error:  # noqa: BLE001 - a trial's failure is a result, told to the worker
                self._log.leave(assignment.key, error)
                self._ends.append(Ended(assignment.key, outcome_of(error), error_of(error)))
                continue
            self._live[assignment.key] = member
            self.wire.send(Begun(assignment.key, self._provenance))
            welcome.append(member)
        return welcome

    def _find(self, member: TrialContext[Params]) -> MemberContext | None:
        return next((one for one in self._live.values() if one is member), None)
