"""An analyst for tests: its answer is the best trial's rate, and how many trials it has seen."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from stepsize.asking.analyst import Changes
from stepsize.asking.questions import Question, Reply, ReportQuestion
from stepsize.domain.answer import Answer, Words
from stepsize.domain.estimate import Estimate
from stepsize.domain.trial import Trial, TrialPurpose
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.trials import load_trials

NOTHING = Estimate(value=None, low=None, high=None)


def best_rate(trials: list[Trial]) -> Answer:
    """Answer with the rate of the trial with the lowest loss of the search; nothing before there is one."""
    searched = [trial for trial in trials if trial.purpose is TrialPurpose.SEARCH and trial.objective is not None]
    checks = [trial.objective for trial in trials if trial.purpose is TrialPurpose.CONFIRM and trial.objective]
    best = min(searched, key=lambda trial: (trial.objective or 0.0, trial.number), default=None)
    rate = None if best is None else float(best.params["learning_rate"])
    mean = sum(checks) / len(checks) if checks else None
    return Answer(
        sentence=f"Of {len(searched)} trials, the best rate is {rate}.",
        words=Words.NONE if rate is None else Words.LOW,
        learning_rate=Estimate(value=rate, low=rate, high=rate),
        batch_size=None,
        choices={},
        value=NOTHING,
        confirmed=Estimate(value=mean, low=mean, high=mean),
        missing_trials=None,
        caveats=[],
        valley=[],
    )


def no_rate(trials: list[Trial]) -> Answer:
    """Answer that there is no answer."""
    return best_rate([])


@dataclass
class FakeAnalyst:
    """Reads the record when it is asked, and replies at once, or when `reply` is called.

    Attributes:
        answer: what it makes of all of a job's trials.
        fails: what it fails with instead.
        is_slow: whether replies wait for `reply`.
        asked: the questions it was put.
    """

    database: Database
    answer: Callable[[list[Trial]], Answer] = best_rate
    fails: Exception | None = None
    is_slow: bool = False
    asked: list[ReportQuestion] = field(default_factory=list)
    _waiting: list[tuple["Future[Reply]", Reply | Exception]] = field(default_factory=list)

    def submit(self, question: Question, changes: Changes = ()) -> "Future[Reply]":
        assert isinstance(question, ReportQuestion), "a job's answer is part of its report"
        self.asked.append(question)
        future: Future[Reply] = Future()
        self._waiting.append((future, self.fails or self._read(question)))
        if not self.is_slow:
            self.reply()
        return future

    def reply(self) -> None:
        """Let whoever waits have the reply."""
        waiting, self._waiting = self._waiting, []
        for future, found in waiting:
            if isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(found)

    def _read(self, question: ReportQuestion) -> Reply:
        with self.database.read() as connection:
            job = get_job(connection, question.job_ids[0])
            trials = load_trials(connection, job.id)
        report = {"answer": self.answer(trials).model_dump(mode="json"), "as_finished": question.as_finished}
        return Reply(json.dumps(report).encode(), (job.change,))
