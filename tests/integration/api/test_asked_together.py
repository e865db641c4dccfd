"""What many clients ask and tell at once: each is served as if alone, in statements whose number does not grow."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from stepsize.application.suggestions import Asking, Ending, Told, end_trials, take_trials
from stepsize.domain.trial import Trial, TrialState
from stepsize.errors import InvalidRequestError, LeaseLostError, StateConflictError, TrialNotFoundError
from stepsize.store.database import Connection, Database
from stepsize.store.jobs import get_job
from stepsize.store.trials import get_trial, load_trials
from tests.builders import make_job, make_spec, make_trial
from tests.integration.workers.test_client_venue import external_spec

COMPLETED = Ending(TrialState.COMPLETED, values={"loss": 0.5})


def asking(client: str, count: int = 1) -> Asking:
    return Asking(client, count, 600.0)


def offer(connection: Connection, n_trials: int, **budget: int) -> str:
    """Return a job with trials on offer."""
    job_id = make_job(connection, spec=external_spec(budget={"max_trials": 1000} | budget)).id
    for _ in range(n_trials):
        make_trial(connection, job_id, lease_token=1)
    return job_id


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def test_who_comes_first_is_served_first_and_nobody_twice(database: Database) -> None:
    with database.write() as connection:
        job_id = offer(connection, 4)
        askings = [asking("a"), asking("b", 2), asking("a"), asking("c", 3), asking("d")]
        found = take_trials(connection, job_id, askings)
        numbers = [None if one is None else [trial.number for trial in one.trials] for one in found]
        assert numbers == [[0], [1, 2], [0], [3], None]
        given = load_trials(connection, job_id)
        assert [(trial.worker, trial.state, trial.lease_token, trial.attempt) for trial in given] == [
            (client, TrialState.RUNNING, 2, 1) for client in ("a", "b", "b", "c")
        ]
        assert get_job(connection, job_id).counts[TrialState.RUNNING] == 4


def test_together_they_have_no_more_trials_at_once_than_allowed(database: Database) -> None:
    with database.write() as connection:
        job_id = offer(connection, 4, max_parallel_trials=2)
        found = take_trials(connection, job_id, [asking("a"), asking("b"), asking("c")])
        assert [one is not None for one in found] == [True, True, False]


def test_each_end_told_at_once_stands_or_falls_alone(database: Database) -> None:
    with database.write() as connection:
        job_id = offer(connection, 4)
        (taken,) = take_trials(connection, job_id, [asking("a", 3)])
        assert taken is not None
        other = Ending(TrialState.COMPLETED, values={"loss": 0.7})
        told = end_trials(
            connection,
            job_id,
            [
                Told(0, 2, COMPLETED),
                Told(0, 2, COMPLETED),
                Told(0, 2, other),
                Told(1, 1, COMPLETED),
                Told(2, 2, Ending(TrialState.COMPLETED)),
                Told(9, 2, COMPLETED),
            ],
        )
        kinds = [Trial, Trial, StateConflictError, LeaseLostError, InvalidRequestError, TrialNotFoundError]
        assert [type(one) for one in told] == kinds
        ended = get_trial(connection, job_id, 0)
        assert told[0] == told[1] == ended
        assert (ended.state, ended.objective) == (TrialState.COMPLETED, 0.5)
        job = get_job(connection, job_id)
        assert (job.counts[TrialState.COMPLETED], job.counts[TrialState.RUNNING], job.best_trial) == (1, 2, 0)


@pytest.mark.parametrize("what", ["asks", "ends"])
def test_many_take_no_more_statements_than_few(what: str, database: Database) -> None:
    counts = []
    for n in (2, 40):
        with database.write() as connection:
            job_id = offer(connection, n)
            askings = [asking(f"client-{index}") for index in range(n)]
            with counted(database) as asked:
                assert None not in take_trials(connection, job_id, askings)
            with counted(database) as ended:
                end_trials(connection, job_id, [Told(number, 2, COMPLETED) for number in range(n)])
            assert get_job(connection, job_id).counts[TrialState.COMPLETED] == n
        counts.append(len(asked if what == "asks" else ended))
    assert counts[0] == counts[1]


def test_a_job_whose_trials_run_in_slots_has_nothing_to_give(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec()).id
        with pytest.raises(StateConflictError):
            take_trials(connection, job_id, [asking("a"), asking("b")])
