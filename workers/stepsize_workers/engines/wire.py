"""What a slot process and its worker say to each other, and the wire between them.

A slot runs other people's code, so its words are read as any stranger's: each frame is one JSON document of at most
`FRAME_LIMIT_BYTES`, checked field by field; nothing is unpickled. The wire keeps the borders between frames itself
(SOCK_SEQPACKET): what threads and forks of a trainer send at once can't mix, nor does a process that is killed leave
half a frame. The other way, from the worker, messages are pickled.
"""

import pickle
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing.connection import wait as wait_for
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from stepsize.domain.said import (
    LARGEST,
    LARGEST_STEP,
    LONGEST_HASH,
    LONGEST_MESSAGE,
    LONGEST_NAME,
    LONGEST_PATH,
    MOST_ARTIFACTS,
    MOST_METRICS,
)
from stepsize.domain.trial import TrialError
from stepsize.spec.provenance import Provenance
from stepsize_workers.engines.base import (
    Answer,
    Assignment,
    Begun,
    CheckpointSaved,
    Ended,
    Event,
    Fault,
    Grouped,
    Measured,
    Outcome,
    Places,
    Reported,
    Stop,
    TrialKey,
    Vacant,
)

FRAME_LIMIT_BYTES = 160 << 10
"""Less than what Linux lets a socket hold unless told otherwise (212,992)."""

WIRE_CLOSED = 70
"""The exit code of a slot process whose end of the wire was closed under it (EX_SOFTWARE of sysexits.h)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Trials to be trained as one."""

    members: tuple[Assignment, ...]
    places: Places
    """At least as many as there are members."""


@dataclass(frozen=True, slots=True)
class Joiners:
    """Who comes to the free places of a group."""

    members: tuple[Assignment, ...]
    ask_again: bool
    n_places: int | None = None
    """Of the whole group, after it has measured."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The verdicts on all that a group has reported at once."""

    verdicts: tuple[Answer, ...]


Order = Assignment | Answer | Stop | Group | Joiners | Answers
"""What a worker tells a slot."""
Word = Event | Begun
"""What a slot tells its worker."""
OfRound = Reported | CheckpointSaved | Ended
"""What the members of a group say at once: what they have measured, or what is so after a round."""

_Text = StringConstraints(pattern=r"^[^\x00]*$")  # half a surrogate pair is no JSON to pydantic
_Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME), _Text]
_Step = Annotated[int, Field(ge=0, le=LARGEST_STEP)]
_Seconds = Annotated[float, Field(ge=0, lt=LARGEST)]
_Rate = Annotated[float, Field(gt=0, lt=LARGEST)]
_Finite = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]


class NonsenseError(Exception):
    """What came out of a slot is nothing a slot says; the message tells what is wrong with it."""


class FrameTooLargeError(ValueError):
    """What a trial wants to say at once is too much."""

    def __init__(self, n_bytes: int) -> None:
        super().__init__(f"that is {n_bytes} bytes at once; a report may have {FRAME_LIMIT_BYTES}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Key(_Part):
    job_id: Annotated[str, StringConstraints(max_length=64), _Text]
    number: Annotated[int, Field(ge=0, lt=2**31)]
    attempt: Annotated[int, Field(ge=0, lt=2**31)]

    @property
    def key(self) -> TrialKey:
        return TrialKey(self.job_id, self.number, self.attempt)


class _Begun(_Part):
    kind: Literal["begun"] = "begun"
    of: _Key
    provenance: Annotated[str, StringConstraints(max_length=FRAME_LIMIT_BYTES)] | None = None
    """As text: it is the same from trial to trial, and read once."""

    def word(self) -> Word:
        return Begun(self.of.key, None if self.provenance is None else _read_provenance(self.provenance))


class _Reported(_Part):
    kind: Literal["reported"] = "reported"
    of: _Key
    step: _Step
    values: Annotated[dict[_Name, _Finite], Field(max_length=MOST_METRICS)]
    elapsed_s: _Seconds
    waits: bool

    def word(self) -> Word:
        return Reported(self.of.key, self.step, self.values, self.elapsed_s, waits=self.waits)


class _CheckpointSaved(_Part):
    kind: Literal["checkpoint"] = "checkpoint"
    of: _Key
    step: _Step

    def word(self) -> Word:
        return CheckpointSaved(self.of.key, self.step)


class _Round(_Part):
    kind: Literal["round"] = "round"
    words: Annotated[list["_OfRound"], Field(min_length=1)]


class _Grouped(_Part):
    kind: Literal["grouped"] = "grouped"
    of: _Key
    is_fused: bool
    why: Annotated[str, StringConstraints(max_length=LONGEST_MESSAGE), _Text]

    def word(self) -> Word:
        return Grouped(self.of.key, self.is_fused, self.why)


class _Vacant(_Part):
    kind: Literal["vacant"] = "vacant"
    of: _Key
    n_places: Annotated[int, Field(ge=1, lt=2**16)]

    def word(self) -> Word:
        return Vacant(self.of.key, self.n_places)


class _Measured(_Part):
    kind: Literal["measured"] = "measured"
    of: _Key
    rates: Annotated[list[_Rate], Field(max_length=16)]

    def word(self) -> Word:
        return Measured(self.of.key, tuple(self.rates))


class _Error(_Part):
    type: _Name
    message: Annotated[str, StringConstraints(max_length=LONGEST_MESSAGE), _Text]


class _Ended(_Part):
    kind: Literal["ended"] = "ended"
    of: _Key
    outcome: Literal["completed", "stopped", "diverged", "oom", "error", "returned"]
    fault: Literal["own", "group", "other"]
    error: _Error | None
    artifacts: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_PATH), _Text]],
        Field(max_length=MOST_ARTIFACTS),
    ]
    duration_s: _Seconds
    data_hash: Annotated[str, StringConstraints(max_length=LONGEST_HASH), _Text] | None
    remark: Annotated[str, StringConstraints(max_length=LONGEST_MESSAGE), _Text] | None
    leaves_traces: bool

    def word(self) -> Word:
        error = None if self.error is None else TrialError(self.error.type, self.error.message)
        return Ended(
            self.of.key,
            Outcome(self.outcome),
            error,
            tuple(self.artifacts),
            self.duration_s,
            self.data_hash,
            self.remark,
            leaves_traces=self.leaves_traces,
            fault=Fault(self.fault),
        )


_OfRound = Annotated[_Reported | _CheckpointSaved | _Ended, Field(discriminator="kind")]
_Round.model_rebuild()
_Frame = _Begun | _Reported | _CheckpointSaved | _Ended | _Grouped | _Vacant | _Measured
_FRAMES: TypeAdapter[_Frame | _Round] = TypeAdapter(Annotated[_Frame | _Round, Field(discriminator="kind")])


@lru_cache(maxsize=64)
def _read_provenance(text: str) -> Provenance:
    return Provenance.model_validate_json(text)


def decode(frame: bytes | bytearray | memoryview) -> tuple[Word, ...]:
    """Return what a slot says: one word, or all that a group says at once.

    Raises:
        NonsenseError: no slot says that.
    """
    try:
        said = _FRAMES.validate_json(bytes(frame))
        return tuple(part.word() for part in said.words) if isinstance(said, _Round) else (said.word(),)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part)[:50] for part in first["loc"])
        raise NonsenseError(f"{where}: {first['msg']}"[:500]) from error


def encode(word: Word) -> bytes:
    """Return the frame that says something.

    Raises:
        ValidationError, FrameTooLargeError: it can't be said.
    """
    return _limited(_frame(word))


def _limited(said: _Frame | _Round) -> bytes:
    frame = said.model_dump_json().encode()
    if len(frame) > FRAME_LIMIT_BYTES:
        raise FrameTooLargeError(len(frame))
    return frame


def encode_round(words: Sequence[OfRound]) -> Iterator[bytes]:
    """Yield the frames that say what the members of a group say at once: one, where it fits.

    Raises:
        ValidationError, FrameTooLargeError: it can't be said.
    """
    parts = [part for word in words if isinstance(part := _frame(word), _Reported | _CheckpointSaved | _Ended)]
    try:
        yield _limited(_Round(words=parts))
    except FrameTooLargeError:
        if len(words) == 1:
            raise
        middle = len(words) // 2
        yield from encode_round(words[:middle])
        yield from encode_round(words[middle:])


def _frame(word: Word) -> _Frame:
    of = _Key(**asdict(word.key))
    match word:
        case Begun():
            told = None if word.provenance is None else word.provenance.model_dump_json()
            return _Begun(of=of, provenance=told)
        case Reported():
            return _Reported(of=of, step=word.step, values=word.values, elapsed_s=word.elapsed_s, waits=word.waits)
        case CheckpointSaved():
            return _CheckpointSaved(of=of, step=word.step)
        case Grouped():
            return _Grouped(of=of, is_fused=word.is_fused, why=word.why)
        case Vacant():
            return _Vacant(of=of, n_places=word.n_places)
        case Measured():
            return _Measured(of=of, rates=list(word.rates))
        case Ended():
            error = word.error and _Error(type=word.error.type, message=word.error.message)
            return _Ended.model_validate(
                {
                    "of": of,
                    "outcome": word.outcome.value,
                    "error": error,
                    "artifacts": list(word.artifacts),
                    "duration_s": word.duration_s,
                    "data_hash": word.data_hash,
                    "remark": word.remark,
                    "leaves_traces": word.leaves_traces,
                    "fault": word.fault.value,
                }
            )


class WorkerEnd:
    """The worker's end of the wire. It never waits for the slot."""

    def __init__(self, wire: socket.socket) -> None:
        wire.setblocking(False)
        self._wire = wire
        self._buffer = bytearray(FRAME_LIMIT_BYTES + 1)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._wire.fileno()

    def send(self, order: Order) -> None:
        """Tell the slot something.

        Raises:
            OSError: it is gone, or has long stopped listening.
        """
        self._wire.send(pickle.dumps(order))

    def receive(self) -> tuple[Word, ...] | None:
        """Return what the slot said next, of a group all that it said at once; None if that is nothing for now.

        Raises:
            EOFError: nobody is at the other end.
            NonsenseError: no slot says that.
        """
        try:
            n_bytes = self._wire.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except OSError as error:
            raise EOFError from error
        if n_bytes == 0:
            raise EOFError
        if n_bytes > FRAME_LIMIT_BYTES:
            raise NonsenseError(f"more than {FRAME_LIMIT_BYTES} bytes at once")
        return decode(memoryview(self._buffer)[:n_bytes])

    def close(self) -> None:
        """Hang up."""
        self._wire.close()


class SlotEnd:
    """The slot's end of the wire. `send` may be called by any thread, and by forks."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire

    def fileno(self) -> int:
        """Return the wire's descriptor."""
        return self._wire.fileno()

    def send(self, word: Word) -> None:
        """Tell the worker something.

        Raises:
            ValidationError, FrameTooLargeError: it can't be said.
            OSError: the wire is closed.
        """
        self._wire.sendall(encode(word))

    def send_round(self, words: Sequence[OfRound]) -> None:
        """Tell the worker several things at once: it writes all of them in one commit, or none.

        Raises:
            ValidationError, FrameTooLargeError: it can't be said.
            OSError: the wire is closed.
        """
        for frame in list(encode_round(words)):
            self._wire.sendall(frame)

    def has_order(self, timeout_s: float) -> bool:
        """Wait for the worker to say something, or to hang up; False: it has not."""
        return bool(wait_for([self._wire], timeout_s))

    def receive(self, *, wait: bool = True) -> Order | None:
        """Return what the worker says next; None: nothing, and it was not to be waited for.

        Raises:
            EOFError: the worker has hung up.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            message = self._wire.recv(FRAME_LIMIT_BYTES, flags)
        except BlockingIOError:
            return None
        if not message:
            raise EOFError
        order: Order = pickle.loads(message)
        return order


def open_wire() -> tuple[WorkerEnd, socket.socket]:
    """Return the worker's end and the socket that the slot is to inherit."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return WorkerEnd(ours), theirs


def take_up(fd: int) -> SlotEnd:
    """Return the slot's end, from the descriptor that it has inherited."""
    return SlotEnd(socket.socket(fileno=fd))
