"""Several processes that train side by side, forked from this one: so they have the function as it is here.

Spawned processes would have to import it, which a notebook's functions, closures and lambdas don't allow.
"""

import multiprocessing
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for_any

from stepsize.children.ties import die_with
from stepsize.tuning.errors import TuneError
from stepsize.tuning.training import Assignment, say, work

_LOOK_EVERY_S = 1.0
_FORK = multiprocessing.get_context("fork")


class _Hand:
    """One process of the crew, and what it had to say at its end."""

    def __init__(self, assignment: Assignment) -> None:
        ours, theirs = _FORK.Pipe(duplex=False)
        self._words: Connection = ours
        self.process = _FORK.Process(target=_train, args=(assignment, os.getpid(), theirs), daemon=False)
        with warnings.catch_warnings():  # that forking beside threads may deadlock: a child starts with httpx anew
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        theirs.close()

    def last_words(self) -> str | None:
        """Return the traceback it ended with; None: it ended well, or was killed."""
        try:
            return str(self._words.recv()) if self._words.poll() else None
        except EOFError:
            return None

    def end(self) -> None:
        """End it, whatever it does."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self._words.close()


def work_side_by_side(assignment: Assignment, n: int, *, meanwhile: Callable[[], None]) -> None:
    """Train in `n` processes until the job gives out no more trials.

    One that is killed, or crashes below Python, is replaced: its trial is begun anew, at most `max_attempts` times.

    Args:
        meanwhile: called about once a second.

    Raises:
        TuneError: a process ended with an exception; the message has its traceback.
    """
    with ExitStack() as stack:
        hands = [_Hand(assignment) for _ in range(n)]
        stack.callback(lambda: _end(hands))
        while hands:
            wait_for_any([hand.process.sentinel for hand in hands], timeout=_LOOK_EVERY_S)
            for hand in [hand for hand in hands if not hand.process.is_alive()]:
                hands.remove(hand)
                words, code = hand.last_words(), hand.process.exitcode
                hand.end()
                if words is not None:
                    raise TuneError(f"a training process ended with\n{words}")
                if code:
                    say(f"a training process was lost (exit code {code}) and is replaced")
                    hands.append(_Hand(assignment))
            meanwhile()


def _train(assignment: Assignment, parent: int, words: "Connection") -> None:
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends all
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        work(assignment)
    except Exception:  # noqa: BLE001 - told to the parent, which raises
        words.send(traceback.format_exc())


def _end(hands: Sequence[_Hand]) -> None:
    for hand in hands:
        hand.end()
