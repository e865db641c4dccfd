"""Waiting for something to become true, with a limit."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(look: Callable[[], T], *, timeout_s: float = 30.0, pause_s: float = 0.02) -> T:
    """Return the first truthy answer of `look`; fail after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not (answer := look()):
        assert time.monotonic() < deadline, f"still not so after {timeout_s} s"
        time.sleep(pause_s)
    return answer
