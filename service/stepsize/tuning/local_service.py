"""A service on a directory of this machine, started for a function that is tuned, and ended with its process."""

import atexit
import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stepsize.children.child import TiedProcess
from stepsize.extras import NEEDS, how_to_install, missing_extras
from stepsize.tuning.errors import ServiceStartError
from stepsize.tuning.training import say

_START_S = 900.0
"""For as long as its process lives: two seconds are usual, and a busy machine may need minutes."""
_SAY_EVERY_S = 15.0
_END_S = 10.0
_LEASE_S = "6"
"""Killed with its process, it has no time to let go of the job: so long the next one waits for it."""
_LOOK_EVERY_S = 0.05
_ANSWERS_AT = re.compile(r"answers at (http://\S+)")
_TOLD_LINES = 5


@dataclass(frozen=True)
class _Running:
    url: str
    process: TiedProcess
    owner: int
    """The process that started it: one forked from that leaves it alone."""


_running: dict[Path, _Running] = {}


def local_service(data_dir: Path) -> str:
    """Return the address of this process's service on a directory, started where it isn't yet.

    It is killed with the thread that starts it; what it has committed is in the directory, and the next one goes on.

    Raises:
        ImportError: the extras of a service aren't installed; the message names them.
        ServiceStartError: it doesn't come up.
    """
    place = data_dir.resolve()
    known = _running.get(place)
    if known is not None and known.process.is_alive:
        return known.url
    if missing := missing_extras(NEEDS["tune"]):
        raise ImportError(
            f"stepsize.tune starts a service of its own, and that needs: {how_to_install(missing)}\n"
            "or name one that runs: tune(…, server=…) or STEPSIZE_SERVER"
        )
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = place / "tune-service.log"
    with log.open("wb") as output:
        process = TiedProcess(
            "stepsize.cli",
            *("up", "--port", "0", "--slots", "1", "--data-dir", str(place)),
            env={"STEPSIZE_LEASE_S": _LEASE_S, **os.environ},
            output=output,
        )
    url = _await_address(process, log)
    if not _running:
        atexit.register(_end_all)
    _running[place] = _Running(url, process, os.getpid())
    return url


def _await_address(process: TiedProcess, log: Path) -> str:
    started = told = time.monotonic()
    while process.is_alive and time.monotonic() - started < _START_S:
        if found := _ANSWERS_AT.search(log.read_text(errors="replace")):
            return found[1]
        if time.monotonic() - told >= _SAY_EVERY_S:
            told = time.monotonic()
            say(f"waiting for a service to start on {log.parent}, {told - started:.0f} s so far; {log} is its log")
        time.sleep(_LOOK_EVERY_S)
    what = f"it did not answer within {_START_S:.0f} s" if process.is_alive else "its process ended"
    process.end()
    said = log.read_text(errors="replace").strip().splitlines()[-_TOLD_LINES:]
    last = [f"{log} ends with:", *said] if said else [f"{log} is empty"]
    raise ServiceStartError("\n".join([f"no service could be started on {log.parent}: {what}", *last]))


def _end_all() -> None:
    mine = [running for running in _running.values() if running.owner == os.getpid()]
    for running in mine:
        with suppress(ProcessLookupError):
            os.kill(running.process.pid, signal.SIGTERM)
    for running in mine:
        running.process.wait_for_end(_END_S)
