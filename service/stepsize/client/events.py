"""Server-Sent Events: a job's changes as they happen."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from stepsize.client.answers import Job


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


def parse_events(chunks: Iterable[str]) -> Iterator[Event]:
    """Yield the events in a `text/event-stream`, whose chunks may end anywhere; comments are skipped."""
    kind, event_id, data = "", "", list[str]()
    for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(id=event_id, kind=kind or "message", data=json.loads("\n".join(data)))
            kind, data = "", []
        elif name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id":
            event_id = value


def _lines(chunks: Iterable[str]) -> Iterator[str]:
    # Not `iter_lines`: like str.splitlines it also splits at U+2028 and friends, which JSON allows inside strings.
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split("\n")
        yield from (line.removesuffix("\r") for line in lines)
