"""Where an interrupted trial goes on: at what the record says, whatever lies beside it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stepsize.domain.trial import checkpoint_path
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Answer, Assignment, CheckpointSaved, Stop, TrialKey
from stepsize_workers.engines.context import SlotContext
from stepsize_workers.engines.wire import SlotEnd, WorkerEnd, open_wire
from stepsize_workers.trainers.base import Params
from stepsize_workers.venues.conclusions import Running
from stepsize_workers.venues.recording import outdated_checkpoints

KEY = TrialKey("job", 0, 1)


@pytest.fixture
def assignment(tmp_path: Path) -> Assignment:
    return Assignment(KEY, "x", {}, 0, tmp_path, tmp_path, waits_for_verdict=True)


@pytest.fixture
def wire() -> Iterator[tuple[WorkerEnd, SlotEnd]]:
    ours, theirs = open_wire()
    with theirs:
        yield ours, SlotEnd(theirs)
    ours.close()


def save(context: SlotContext, step: int) -> None:
    def write(path: Path) -> None:
        path.write_text(str(step))

    context.save_checkpoint(step, write)


def test_a_trial_goes_on_from_the_checkpoint_that_the_record_has(
    wire: tuple[WorkerEnd, SlotEnd], assignment: Assignment
) -> None:
    worker, slot = wire
    context = SlotContext(slot, assignment, Params(), "cpu")
    for step in (1, 2):
        save(context, step)
    assert (worker.receive(), worker.receive()) == ((CheckpointSaved(KEY, 1),), (CheckpointSaved(KEY, 2),))
    found = SlotContext(slot, replace(assignment, checkpoint_step=1), Params(), "cpu").checkpoint
    assert found is not None
    assert (found.step, found.path.read_text()) == (1, "1"), "step 2 was never recorded, nor what was reported there"
    assert SlotContext(slot, replace(assignment, checkpoint_step=3), Params(), "cpu").checkpoint is None


def test_a_pruned_trial_saves_none_and_one_that_is_interrupted_does(
    wire: tuple[WorkerEnd, SlotEnd], assignment: Assignment, tmp_path: Path
) -> None:
    worker, slot = wire
    context = SlotContext(slot, assignment, Params(), "cpu")
    context.heed(Answer(KEY, stop=True))
    save(context, 1)
    assert (worker.receive(), checkpoint_path(tmp_path, 1).exists()) == (None, False)
    context.heed(Stop(KEY))
    save(context, 1)
    assert (worker.receive(), checkpoint_path(tmp_path, 1).exists()) == ((CheckpointSaved(KEY, 1),), True)


def test_checkpoints_are_dropped_once_a_newer_one_is_recorded() -> None:
    run = Running(KEY, SlotRecord(0, "cpu", 0.0, 1), {}, 0)
    saved = [CheckpointSaved(KEY, step) for step in (1, 2)]
    assert outdated_checkpoints(saved, {0: run}) == [(0, 1)]
    run.checkpoint_step = 2
    assert outdated_checkpoints([CheckpointSaved(KEY, 3)], {0: run}) == [(0, 2)]
    assert outdated_checkpoints([CheckpointSaved(KEY, 2)], {0: run}) == []
