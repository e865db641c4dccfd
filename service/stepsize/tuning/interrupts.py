"""Ctrl-C while a function is tuned: a sentence that says how to go on, and nothing of our insides."""

import sys
from types import TracebackType

from stepsize.tuning.training import say


def told_interrupt(said: str) -> KeyboardInterrupt:
    """Say a sentence, and return the interrupt to raise: a notebook shows it, and a program that doesn't catch it ends
    as from any Ctrl-C, but without a traceback."""
    say(said)
    interrupt = KeyboardInterrupt(said)
    show = sys.excepthook

    def show_others(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if error is not interrupt:
            show(kind, error, trace)

    sys.excepthook = show_others
    return interrupt
