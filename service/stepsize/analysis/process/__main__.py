"""The analysis process: answers questions, one after another, until whoever asks closes the pipe.

Started as `python -m stepsize.analysis.process FD`; the first message is the database's URL.
"""

import importlib
import os
import sys
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Protocol

from stepsize.asking.questions import Failure, Question, Reply
from stepsize.errors import JobNotFoundError
from stepsize.store.database import Database


class Answering(Protocol):
    """What `stepsize.analysis.process.answers.Answers` does."""

    def answer(self, question: Question) -> Reply: ...


_NICENESS = 5
"""Answers to polls and the workers of this machine come first."""


def main(fd: int) -> None:
    """Serve the pipe until it closes: whoever asked has ended, or wants the memory back."""
    os.nice(_NICENESS)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _serve(Connection(fd))


def _serve(connection: "Connection[Reply | Failure, str | Question]") -> None:
    database = Database(_url(connection.recv()), pool_size=1)
    try:
        answers = _make_answers(database)
        while True:
            connection.send(_answer(answers, connection.recv()))
    finally:
        database.dispose()


def _make_answers(database: Database) -> Answering:
    # Optuna's importances import scikit-learn where it is installed, for a method that isn't used here: half of the
    # start-up's time and 110 of 257 MiB, measured. Hence also the import of what imports Optuna at this late moment.
    sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]  # Python's own way to say "not to be had"
    answers: Answering = importlib.import_module("stepsize.analysis.process.answers").Answers(database)
    return answers


def _url(message: object) -> str:
    assert isinstance(message, str), "the first message is the database's URL"
    return message


def _answer(answers: Answering, question: object) -> Reply | Failure:
    try:
        return answers.answer(question)  # type: ignore[arg-type]  # what comes after the URL are questions
    except JobNotFoundError as error:
        return Failure(str(error), is_missing=error.job_id)
    except Exception:  # noqa: BLE001 - one question must not take the process down: who asked gets to see it
        return Failure(traceback.format_exc())


if __name__ == "__main__":
    main(int(sys.argv[1]))
