"""What is said of a process that a signal has ended: which, and who may have sent it."""

import signal

_OWN_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGSYS})


def is_own_crash(number: int) -> bool:
    """Tell whether this signal is what a process's own code gets when it does what it may not."""
    return number in _OWN_CRASHES


def describe_death(number: int) -> str:
    """Return how a process ended that this worker has not killed, nor the kernel for want of memory."""
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"killed by signal {number}"
    sender = "neither this worker nor the kernel for want of memory sent it: the trainer itself, or someone else"
    return f"killed by signal {number} ({name}): {'its own code crashed' if is_own_crash(number) else sender}"
