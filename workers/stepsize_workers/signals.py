"""The signals that ask a worker to end, and from whom they are taken: not from its own trials."""

import os
import signal
import threading
from collections.abc import Callable

import psutil
import structlog

from stepsize.children.ties import ENDING

log = structlog.get_logger()


def hold_signals() -> None:
    """Have the signals that end a worker wait for `obey_signals`; threads started from here on leave them alone too."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def obey_signals(stop: Callable[[], None]) -> None:
    """Call `stop`, from a thread of its own, whenever a process that is no child of ours asks this one to end.

    A trainer that sends SIGTERM to its parent would else end every worker that takes up its trial, one after the other:
    a worker that ends in order is no attempt of a trial's.
    """
    hold_signals()
    for number in ENDING:  # for a thread that a library has started before they were held
        signal.signal(number, lambda *_: stop())
    threading.Thread(target=_listen, args=(stop,), name="signals", daemon=True).start()


def _listen(stop: Callable[[], None]) -> None:
    while True:
        told = signal.sigwaitinfo(ENDING)
        if is_ours(told.si_pid):
            log.warning(
                "a trial asked the worker to end and isn't heeded",
                signal=signal.Signals(told.si_signo).name,
                pid=told.si_pid,
            )
        else:
            stop()


def is_ours(pid: int) -> bool:
    """Tell whether a process that still lives was started by this one, or by one that was."""
    try:
        return any(parent.pid == os.getpid() for parent in psutil.Process(pid).parents())
    except psutil.Error:
        return False
