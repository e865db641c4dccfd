"""The training loop of a group: every member's epochs as alone, all members' updates as one. Shapes: K members.

Members come and go between epochs, and each counts its own: one may be at its first epoch while others are at their
fifth. A member that explodes goes at once; its row goes on to the epoch's end, and touches no other.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from stepsize.infeasibility import is_out_of_memory
from stepsize_workers.trainers.base import Diverged, GroupContext, NotFusedError, TrialContext
from stepsize_workers.training.devices import use_device
from stepsize_workers.training.epoch import Epoch
from stepsize_workers.training.fused.joint_run import JointRun, LoneRun
from stepsize_workers.training.fused.kept_values import KeptValues
from stepsize_workers.training.fused.losses import JointLosses
from stepsize_workers.training.fused.shared_params import SharedParams
from stepsize_workers.training.loop import Loop
from stepsize_workers.training.params import TrainingParams
from stepsize_workers.training.run import Run
from stepsize_workers.training.task import Task

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")

_UPDATES_A_LOOK = 8
"""Losses are brought to the host, and members asked whether they should stop, once in so many updates."""


@dataclass(eq=False)
class Member(Generic[P, B]):
    """A trial of the group: its training, and the loop that does for it what is done for trials alone."""

    context: TrialContext[P]
    loop: Loop[P, B]
    run: Run[P, B]

    @property
    def is_complete(self) -> bool:
        """Whether all its epochs are trained."""
        return self.run.progress.epoch >= self.run.params.epochs


class GroupLoop(Generic[P, B]):
    """Drives a task through the trials of a group."""

    def __init__(self, task: Task[P, B], group: GroupContext[P]) -> None:
        self._task = task
        self._group = group
        fusing = task.capabilities.fuse
        self._shared = SharedParams(group.members[0].params, frozenset(fusing.free if fusing else ()))
        self._kept = KeptValues(task)
        self._members: list[Member[P, B]] = []
        self._joint: JointRun | None = None
        self._losses: JointLosses | None = None
        self._has_reported = False

    def train(self) -> None:
        """Train all members and those that join, until none is left.

        Raises:
            NotFusedError: it can't be done; nothing was reported.
            MemoryError: the group does not fit.
        """
        try:
            self._train()
        except NotFusedError as error:
            if self._has_reported:
                raise RuntimeError(f"a group can no longer be trained as one: {error}") from error
            raise

    def _train(self) -> None:
        arrived: Sequence[TrialContext[P]] = self._group.members
        first, *others = arrived
        for other in others:
            self._shared.admit(other.params)
        self._task.prepare(self._shared.view, device=use_device(first.device), data_dir=first.data_dir)
        Loop(self._task, first).check_memory(n_members=len(arrived))
        while arrived or self._members:
            for context in arrived:
                self._begin(context)
            self._complete(member for member in self._members if member.is_complete)
            if self._members:
                self._train_epoch()
            arrived = self._group.joined()
            for context in arrived:
                self._shared.admit(context.params)

    def _begin(self, context: TrialContext[P]) -> None:
        loop = Loop(self._task, context)
        try:
            with self._asked_for(context):
                self._kept.before_build()
                run = loop.begin()
                self._kept.after_build(run.model)
            self._members.append(Member(context, loop, run))
        except Exception as error:  # noqa: BLE001 - what fails one member is its result
            _raise_if_of_all(error)
            self._group.ended(context, error)

    def _train_epoch(self) -> None:
        """Train an epoch of each member, report it, and let go who is done."""
        trained = self._make_updates()
        reports: dict[TrialContext[P], tuple[int, dict[str, float]]] = {}
        for member, values in trained.items():
            with self._ending_if_failed(member):
                reports[member.context] = member.run.progress.epoch, member.loop.measure(member.run, values)
        stopped = self._group.report(reports) if reports else ()
        self._has_reported |= bool(reports)
        for member in list(self._members):
            with self._ending_if_failed(member):
                member.loop.save_checkpoint(member.run)
        self._complete(member for member in self._members if member.is_complete or member.context in stopped)

    def _make_updates(self) -> dict[Member[P, B], dict[str, float]]:
        """Make an epoch's updates, and return the measurements of those members that are still there."""
        started = time.perf_counter()
        members = list(self._members)
        joint = self._stack_up(members)
        watched = _Watched([(member, self._begin_epoch(member)) for member in members])
        epochs = [epoch for _, epoch in watched.all]
        n_updates = len(epochs[0].groups)
        if any(len(epoch.groups) != n_updates for epoch in epochs):
            raise NotFusedError("the members' epochs have different numbers of updates")
        joint.begin_epoch([[epoch.rate(update) for epoch in epochs] for update in range(n_updates)])
        share_data = len({(member.context.seed, epoch.number) for member, epoch in watched.all}) == 1
        is_lone = isinstance(joint, LoneRun)
        for update in range(n_updates):
            groups = [epoch.groups[update] for epoch in (epochs[:1] if share_data else epochs)]
            with self._asked_for(members[0].context) if is_lone else nullcontext():
                watched.losses.append(joint.make_update(update, groups))
            if (update + 1) % _UPDATES_A_LOOK == 0 or update + 1 == n_updates:
                self._look(watched)
                if not watched.left:
                    return {}
        seconds = (time.perf_counter() - started) / len(members)
        trained: dict[Member[P, B], dict[str, float]] = {}
        for member, epoch in watched.left.values():
            member.run.rates.set(epoch.rate(n_updates - 1))
            with self._ending_if_failed(member):
                trained[member] = epoch.complete(seconds)
        return trained

    def _begin_epoch(self, member: Member[P, B]) -> Epoch[P, B]:
        with self._asked_for(member.context):
            return Epoch(member.run)

    def _stack_up(self, members: Sequence[Member[P, B]]) -> JointRun | LoneRun:
        """Return the members as one run, stacked anew if others were in it.

        Whoever is by itself goes on as alone, but for its first epoch: that tells whether others can join, while
        nothing was reported. It follows from the member's own progress, so that an interrupted group goes on alike.
        """
        runs = [member.run for member in members]
        if len(runs) == 1 and runs[0].progress.epoch > 0:
            self._joint = None
            return LoneRun(runs[0])
        if self._joint is None or list(map(id, self._joint.runs)) != list(map(id, runs)):
            self._joint = JointRun(runs, self._losses)
            self._losses = self._joint.losses
        return self._joint

    def _look(self, watched: "_Watched[P, B]") -> None:
        """Take in the losses since the last look, and let go who has exploded or is told to stop."""
        losses = torch.stack(watched.losses).tolist()  # the only wait for the device
        watched.losses.clear()
        for k, (member, epoch) in list(watched.left.items()):
            try:
                for row in losses:
                    epoch.note(row[k])
            except Diverged as error:
                self._end(member, error)
                del watched.left[k]
                continue
            if member.context.should_stop():
                self._end(member)
                del watched.left[k]

    def _complete(self, done: Iterable[Member[P, B]]) -> None:
        for member in list(done):
            error: Exception | None = None
            try:
                with self._asked_for(member.context):
                    member.loop.complete(member.run)
            except Exception as raised:  # noqa: BLE001 - what fails one member is its result
                _raise_if_of_all(raised)
                error = raised
            self._end(member, error)

    @contextmanager
    def _ending_if_failed(self, member: Member[P, B]) -> Iterator[None]:
        """End a member with what its body raises; the others go on."""
        try:
            with self._asked_for(member.context):
                yield
        except Exception as error:  # noqa: BLE001 - what fails one member is its result
            _raise_if_of_all(error)
            self._end(member, error)

    def _asked_for(self, context: TrialContext[P]) -> AbstractContextManager[None]:
        """Let the task work in the body for one member alone.

        Until the first report it may not read what differs even so: it might keep that for all of them.
        """
        return self._shared.all_of(context.params) if self._has_reported else nullcontext()

    def _end(self, member: Member[P, B], error: Exception | None = None) -> None:
        self._members.remove(member)
        self._group.ended(member.context, error)


class _Watched(Generic[P, B]):
    """The members in an epoch's updates."""

    def __init__(self, members: Sequence[tuple[Member[P, B], Epoch[P, B]]]) -> None:
        self.all = members
        self.left = dict(enumerate(members))
        """By row, those that have not gone."""
        self.losses: list[Tensor] = []
        """Of the updates since the last look (K,)."""


def _raise_if_of_all(error: Exception) -> None:
    """Raise what is about the whole group: memory that it needs together, and that it can't be one."""
    if is_out_of_memory(error) or isinstance(error, NotFusedError):
        raise error
