"""What a trainer in a slot is given: a `TrialContext` that speaks to the worker over the slot's wire.

Here a trainer's words are checked and cleaned; what can't be taken raises where it was said, with the reason.
"""

import json
import mmap
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from stepsize.domain.figures import check_figure
from stepsize.domain.said import (
    LONGEST_HASH,
    LONGEST_PATH,
    MOST_ARTIFACTS,
    check_name,
    check_step,
    check_values,
    clean_text,
    is_finite,
)
from stepsize.domain.trial import checkpoint_path
from stepsize_workers.engines.base import Answer, Assignment, CheckpointSaved, Reported, Stop
from stepsize_workers.engines.wire import Order, SlotEnd
from stepsize_workers.trainers.base import Checkpoint, Diverged, Params

_MOST_BYTES_OF_NAMES = 100_000
"""Of all artifacts together: they go to the worker at once."""


class SlotContext:
    """The context of one attempt. Threads of the trainer may share it, and so may forks.

    A report of a fork waits for no verdict: the answer is read by the process that was given the trial.
    """

    def __init__(self, wire: SlotEnd, assignment: Assignment, params: Params, device: str) -> None:
        self._wire = wire
        self.assignment = assignment
        self._process = os.getpid()
        self._lock = threading.Lock()
        """Held by the thread that reports, and by whoever reads the wire."""
        self._stop = mmap.mmap(-1, 1)  # shared with forks, which don't read the wire
        self._is_asked_to_end = False
        self._is_over = False
        self._said = threading.local()
        """`last`: this thread's last report."""
        self._started = time.monotonic()
        self.params = params
        self.seed = assignment.seed
        self.device = device
        self.data_dir = assignment.data_dir
        self.attempt = assignment.key.attempt
        self.checkpoint = self._find_checkpoint()
        self.data_hash: str | None = None
        self.last_remark: str | None = None

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        said = self.check(step, values)
        if said is not None:
            if os.getpid() == self._process:
                self._report_and_wait(*said)
            else:
                self._wire.send(self.reported(*said, waits=False))
            self.note_said(*said)
        return self.should_stop()

    def check(self, step: int, values: Mapping[str, float]) -> tuple[int, dict[str, float]] | None:
        """Return a measurement as it is to be said; None: it says nothing new.

        Raises:
            Diverged, ValueError, TypeError, RuntimeError: it can't be said.
        """
        step, numbers = check_step(step), check_values(values)
        for name, number in numbers.items():
            if not is_finite(number):
                raise Diverged(f"{name} became {number} at step {step}", step=step)
        self._refuse_when_over()
        return (step, numbers) if self._is_new(step, numbers) else None

    def note_said(self, step: int, numbers: dict[str, float]) -> None:
        """Remember what was said last: steps must rise."""
        self._said.last = (step, numbers)

    @property
    def is_told_to_stop(self) -> bool:
        """Whether the trial was asked to stop, as far as has been heard."""
        return bool(self._stop[0])

    @property
    def is_pruned(self) -> bool:
        """Whether the trial is to stop by a verdict, and by that alone."""
        return self.is_told_to_stop and not self._is_asked_to_end

    def elapsed_s(self) -> float:
        """Return for how long the attempt has run."""
        return time.monotonic() - self._started

    def should_stop(self) -> bool:
        if os.getpid() == self._process and not self._stop[0] and self._lock.acquire(blocking=False):
            try:
                while (order := self._wire.receive(wait=False)) is not None:
                    self.heed(order)
            finally:
                self._lock.release()
        return bool(self._stop[0])

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> None:
        step = check_step(step)
        self._refuse_when_over()
        if self.is_pruned:
            return  # interrupted from here on, it must hear the same verdict again: it goes on from before its report
        path = checkpoint_path(self.assignment.trial_dir, step)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        write(partial)
        if path.is_dir():  # of an attempt that was lost before the record had it
            shutil.rmtree(path)
        partial.replace(path)
        self.say_saved(CheckpointSaved(self.assignment.key, step))

    def say_saved(self, saved: CheckpointSaved) -> None:
        """Tell the worker of a checkpoint."""
        self._wire.send(saved)

    def artifact(self, name: str) -> Path:
        directory = self._artifact_dir.resolve()
        path = (directory / check_name(name, what="file", longest=LONGEST_PATH)).resolve()
        if not path.is_relative_to(directory) or path == directory:
            raise ValueError(f"an artifact's name can't lead out of its directory: {name!r}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def figure(self, name: str, picture: str | bytes) -> None:
        file, content = check_figure(name, picture)
        path = self.artifact(file)
        partial = path.with_name(f".{file}.partial")
        partial.write_bytes(content)
        partial.replace(path)  # whoever looks at a running trial never sees half of one

    def note_data(self, content_hash: str) -> None:
        self.data_hash = check_name(content_hash, what="data set's content", longest=LONGEST_HASH)

    def remark(self, text: str) -> None:
        self.last_remark = clean_text(text)

    def artifacts(self) -> tuple[str, ...]:
        """Return the names of the files written so far, of as many as are kept."""
        names = list(self._artifact_names())
        kept: list[str] = []
        room = _MOST_BYTES_OF_NAMES
        for name in sorted(name for name in names if name.isprintable() and len(name) <= LONGEST_PATH):
            room -= len(json.dumps(name))
            if room < 0 or len(kept) == MOST_ARTIFACTS:
                break
            kept.append(name)
        if len(kept) < len(names):
            sys.stderr.write(f"[only {len(kept)} of the files written are kept: too many, or names too odd]\n")
        return tuple(kept)

    def end(self) -> None:
        """The trial is over: threads that it has left behind can say nothing more."""
        self._is_over = True

    def _artifact_names(self) -> Iterator[str]:
        for n, path in enumerate(self._artifact_dir.rglob("*")):
            if n > 10 * MOST_ARTIFACTS:
                return
            if path.is_file() and not path.is_symlink():  # no link is ever followed to be sent
                yield str(path.relative_to(self._artifact_dir))

    def _is_new(self, step: int, numbers: dict[str, float]) -> bool:
        """Tell whether a report says anything new; threads of one trial don't know each other's steps."""
        last: tuple[int, dict[str, float]] | None = getattr(self._said, "last", None)
        if last is None or step > last[0]:
            return True
        if (step, numbers) == last:  # frameworks like to evaluate once more at the end
            return False
        raise ValueError(f"step {step} was reported after step {last[0]}; steps must rise")

    def _report_and_wait(self, step: int, numbers: dict[str, float]) -> None:
        waits = self.assignment.waits_for_verdict
        with self._lock:
            self._wire.send(self.reported(step, numbers, waits=waits))
            while waits and not self.heed(self._wire.receive()):
                pass

    def reported(self, step: int, numbers: dict[str, float], *, waits: bool) -> Reported:
        """Return a measurement as it goes over the wire."""
        return Reported(self.assignment.key, step, numbers, self.elapsed_s(), waits=waits)

    def _refuse_when_over(self) -> None:
        if self._is_over:
            raise RuntimeError("the trial has ended: what its threads say now is nobody's")

    def heed(self, order: Order | None) -> bool:
        """Take in what the worker says about this trial; True: it was the verdict that `report` waits for."""
        if not isinstance(order, Answer | Stop) or order.key != self.assignment.key:
            return False
        if isinstance(order, Stop):
            self._stop[0] = self._is_asked_to_end = True
            return False
        self._stop[0] |= order.stop
        return True

    def _find_checkpoint(self) -> Checkpoint | None:
        step = self.assignment.checkpoint_step
        if step is None:
            return None
        path = checkpoint_path(self.assignment.trial_dir, step)
        return Checkpoint(step, path) if path.exists() else None

    @property
    def _artifact_dir(self) -> Path:
        return self.assignment.trial_dir / "artifacts"
