"""Server-Sent Events: a job's changes as they happen."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from stepsize.client.answers import Job, Report, Trial


@dataclass(frozen=True)
class Event:
    """One change of a job: `kind` is `job`, `trial` or `report`; `data` is the row as it is now."""

    id: str
    kind: str
    data: dict[str, JsonValue]

    @property
    def job(self) -> Job | None:
        """The job, in an event of kind `job`."""
        return Job.model_validate(self.data) if self.kind == "job" else None

    @property
    def trial(self) -> Trial | None:
        """The trial, in an event of kind `trial`."""
        return Trial.model_validate(self.data) if self.kind == "trial" else None

    @property
    def report(self) -> Report | None:
        """The report, in an event of kind `report`."""
        return Report.model_validate(self.data) if self.kind == "report" else None


class EventParser:
    """Reads a `text/event-stream` whose chunks may end anywhere; comments are skipped."""

    def __init__(self) -> None:
        self._rest = ""
        self._kind, self._id, self._data = "", "", list[str]()

    def feed(self, chunk: str) -> Iterator[Event]:
        """Yield the events that are complete with this chunk."""
        # Not `iter_lines`: like str.splitlines it also splits at U+2028 and friends, which JSON allows inside strings.
        *lines, self._rest = (self._rest + chunk).split("\n")
        for line in lines:
            event = self._read(line.removesuffix("\r"))
            if event is not None:
                yield event

    def _read(self, line: str) -> Event | None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            event = self._event() if self._data else None
            self._kind, self._data = "", []
            return event
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            self._id = value
        return None

    def _event(self) -> Event:
        return Event(id=self._id, kind=self._kind or "message", data=json.loads("\n".join(self._data)))


def parse_events(chunks: Iterable[str]) -> Iterator[Event]:
    """Yield the events in a `text/event-stream`, whose chunks may end anywhere."""
    parser = EventParser()
    for chunk in chunks:
        yield from parser.feed(chunk)
