"""The name under which a process asks for trials: its own for as long as it lives, and its successor's afterwards.

A process that dies with a trial leaves its seat; whoever takes it next has that trial back at once, instead of when its
lease runs out. The kernel unlocks a seat with its holder's end, however that came.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4


@dataclass(frozen=True)
class Seat:
    """A place at a job, with what its last holder has left."""

    client_id: str
    was_interrupted: bool = False
    """Whether the last holder was ended on purpose."""


@contextmanager
def taken_seat(job_id: str) -> Iterator[Seat]:
    """Take the first free seat at a job on this machine.

    The service's address is no part of it: one that is started anew on its directory has another port.
    """
    folder = _own_folder()
    if folder is None:
        yield Seat(_fresh_name())
        return
    for number in count():
        place = _place(folder, job_id, number)
        with place.open("a+") as seat:
            if not _lock(seat.fileno(), wait=False):
                continue
            note = _note(place)
            was_interrupted = note.exists()
            note.unlink(missing_ok=True)
            yield Seat(_name_in(seat.fileno()), was_interrupted)
            return


def note_interrupt(job_id: str) -> None:
    """Leave word at each free seat of a job that its holder was ended on purpose: its trial loses no attempt by it."""
    folder = _own_folder()
    if folder is None:
        return
    for number in count():
        place = _place(folder, job_id, number)
        if not place.exists():
            return
        with place.open("a+") as seat:
            if _lock(seat.fileno(), wait=False):
                _note(place).touch()


def _place(folder: Path, job_id: str, number: int) -> Path:
    return folder / f"{hashlib.sha256(job_id.encode()).hexdigest()[:24]}-{number}"


def _note(place: Path) -> Path:
    return place.with_name(f"{place.name}-interrupted")


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Wait until no other process of this machine is inside with the same name."""
    folder = _own_folder()
    if folder is None:
        yield
        return
    digest = hashlib.sha256(name.encode()).hexdigest()[:24]
    with (folder / f"{digest}-door").open("a+") as door:
        _lock(door.fileno(), wait=True)
        yield


def _own_folder() -> Path | None:
    """Return a folder that only this user can write to, or None where there is none to be had."""
    folder = Path(tempfile.gettempdir()) / f"stepsize-tune-{os.getuid()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid == os.getuid() and not found.st_mode & 0o077 and not folder.is_symlink():
            return folder
    return None


def _lock(fd: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _name_in(fd: int) -> str:
    """Return the name that is written in a seat, which its first holder wrote."""
    name = os.pread(fd, 64, 0).decode(errors="replace")
    if not name:
        name = _fresh_name()
        os.write(fd, name.encode())
    return name


def _fresh_name() -> str:
    return f"tune-{uuid4().hex[:16]}"
