"""When a group in a slot tells its worker what: after a round all at once, and at once who was asked to end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stepsize_workers.engines.base import (
    Answer,
    Assignment,
    Begun,
    CheckpointSaved,
    Ended,
    Outcome,
    Places,
    Reported,
    Stop,
    TrialKey,
)
from stepsize_workers.engines.group import SlotGroup
from stepsize_workers.engines.trial_log import GroupLog
from stepsize_workers.engines.wire import Answers, Group, SlotEnd, Word, WorkerEnd, open_wire
from stepsize_workers.trainers.base import Diverged, Params

KEYS = [TrialKey("job", number, 1) for number in range(3)]


class Silence(GroupLog):
    """Takes no process's output."""

    def enter(self, key: TrialKey, trial_dir: Path) -> None:
        pass

    def leave(self, key: TrialKey, error: BaseException | None) -> None:
        pass


class Rounds:
    """A group of three, and its worker's end of the wire."""

    def __init__(self, worker: WorkerEnd, slot: SlotEnd, folder: Path, log: GroupLog) -> None:
        self.worker = worker
        assignments = tuple(
            Assignment(key, "x", {}, 0, folder / str(key.number), folder, waits_for_verdict=True) for key in KEYS
        )
        self.group = SlotGroup(slot, Group(assignments, Places(3)), lambda _: Params(), "cpu", log)
        self.members = list(self.group.members)

    def heard(self) -> list[list[Word]]:
        """Return what was said since, each list at once."""
        said: list[list[Word]] = []
        while (words := self.worker.receive()) is not None:
            said += [] if isinstance(words[0], Begun) else [list(words)]
        return said


@pytest.fixture
def rounds(tmp_path: Path) -> Iterator[Rounds]:
    ours, theirs = open_wire()
    for key in KEYS:
        (tmp_path / str(key.number)).mkdir()
    with theirs:
        yield Rounds(ours, SlotEnd(theirs), tmp_path, Silence(tmp_path / "group-log.txt"))
    ours.close()


def test_what_is_so_after_a_round_is_told_at_once(rounds: Rounds) -> None:
    group, (first, second, third) = rounds.group, rounds.members
    group.ended(third, Diverged("the loss exploded", step=1))
    assert rounds.heard() == [], "the round is not over: killed now, the others would go on without it"
    rounds.worker.send(Answers((Answer(KEYS[0], stop=False), Answer(KEYS[1], stop=True))))
    assert group.report({first: (1, {"loss": 1.0}), second: (1, {"loss": 2.0})}) == {second}
    (reports,) = rounds.heard()
    assert [(type(word), word.key.number) for word in reports] == [(Reported, 0), (Reported, 1)]
    for member in (first, second):
        member.save_checkpoint(1, Path.touch)
    group.ended(second)
    assert rounds.heard() == []
    group.tell_last(leaves_traces=False)
    (after,) = rounds.heard()
    assert [(type(word), word.key.number) for word in after] == [(CheckpointSaved, 0), (Ended, 1), (Ended, 2)]


def test_who_was_asked_to_end_says_so_at_once(rounds: Rounds) -> None:
    rounds.worker.send(Stop(KEYS[1]))
    assert rounds.members[1].should_stop()
    rounds.group.ended(rounds.members[1])
    ((end,),) = rounds.heard()
    assert isinstance(end, Ended)
    assert (end.key, end.outcome) == (KEYS[1], Outcome.STOPPED)
