"""A job's answer: asked of the analysis as the job goes, and once more before it finishes.

The analysis is a process of its own; nothing here waits for it. What it says is stored with the change it speaks of, so
that whoever shows a job only reads.
"""

import time
from concurrent.futures import Future
from dataclasses import dataclass

import structlog
from pydantic import BaseModel, ConfigDict

from stepsize.asking.questions import Reply, ReportQuestion
from stepsize.domain.answer import Answer, Words
from stepsize.domain.estimate import Estimate
from stepsize.domain.job import Job, JobKind
from stepsize.errors import StepsizeError
from stepsize.store.answers import StoredAnswer
from stepsize_workers.held_job import HeldJob

log = structlog.get_logger()

_EVERY_S = 10.0
"""Shortest time between two questions while a job goes on."""
_MOST_SHARE = 0.05
"""Of a core, at most, that answers cost while a job goes on."""

_Key = tuple[int, ...]
"""How many trials have ended, by state: as long as it stays so, so does the answer."""


@dataclass(frozen=True)
class _Flight:
    """A question under way."""

    reply: "Future[Reply]"
    key: _Key
    as_finished: bool
    since: float


class _Answered(BaseModel):
    """What is needed of a report."""

    model_config = ConfigDict(frozen=True)

    answer: Answer


class AnswerKeeper:
    """Keeps the stored answer of one job in line with its trials."""

    def __init__(self, held: HeldJob) -> None:
        self._held = held
        self._flight: _Flight | None = None
        self._told: StoredAnswer | None = None
        self._told_key: _Key = ()
        self._is_stored = True
        self._due = time.monotonic() + _EVERY_S

    def tend(self) -> None:
        """Store an answer that has come, and ask for the next one when it is due."""
        self._land()
        if not self._is_stored and self._told is not None:
            told, self._is_stored = self._told, True
            self._held.transact(lambda ledger: ledger.set_answer(told))
        key = _key(self._held.job)
        if self._flight is None and any(key) and key != self._told_key and time.monotonic() >= self._due:
            self._ask(key, as_finished=False)

    def answer_now(self, *, as_finished: bool) -> StoredAnswer | None:
        """Return the answer to the record as it is; None: not yet, and the engine is woken when it is there."""
        self._land()
        key = _key(self._held.job)
        if self._told is not None and self._told_key == key and (self._told.is_final or not as_finished):
            return self._told
        if self._flight is None:
            self._ask(key, as_finished=as_finished)
        return None

    @property
    def is_asked(self) -> bool:
        """Whether this job has an answer at all: it searches, and there is somebody to ask."""
        return self._held.job.kind is JobKind.TUNE and self._held.site.analyst is not None

    def _ask(self, key: _Key, *, as_finished: bool) -> None:
        analyst = self._held.site.analyst
        if analyst is None or not self.is_asked:
            return
        job = self._held.job
        reply = analyst.submit(ReportQuestion((job.id,), as_finished=as_finished), (job.change,))
        self._flight = _Flight(reply, key, as_finished, time.monotonic())
        reply.add_done_callback(lambda _: self._held.site.engine.wake())

    def _land(self) -> None:
        flight = self._flight
        if flight is None or not flight.reply.done():
            return
        self._flight = None
        cost_s = time.monotonic() - flight.since
        self._due = time.monotonic() + max(_EVERY_S, cost_s / _MOST_SHARE)
        self._told, self._told_key, self._is_stored = self._read(flight), flight.key, False

    def _read(self, flight: _Flight) -> StoredAnswer:
        try:
            reply = flight.reply.result()
            report = reply.body.decode()
            answer = _Answered.model_validate_json(report).answer
        except Exception as error:  # noqa: BLE001 - whatever it is, a job must not hang on its answer
            log.warning("no answer", job=self._held.job.id, error=str(error))
            reason = (
                str(error) if isinstance(error, StepsizeError) else "the analysis failed; the worker's log says why"
            )
            return StoredAnswer(no_answer(reason), None, self._held.job.change, flight.as_finished)
        return StoredAnswer(answer, report, reply.changes[0], flight.as_finished)


def no_answer(reason: str) -> Answer:
    """Return the answer of a job of which the analysis could not be asked."""
    nothing = Estimate(value=None, low=None, high=None, caveat=reason)
    return Answer(
        sentence=f"There is no answer: {reason}.",
        words=Words.NONE,
        learning_rate=nothing,
        batch_size=None,
        choices={},
        value=nothing,
        confirmed=nothing,
        missing_trials=None,
        caveats=[reason],
        valley=[],
    )


def _key(job: Job) -> _Key:
    return tuple(n for state, n in sorted(job.counts.items()) if state.is_finished)
