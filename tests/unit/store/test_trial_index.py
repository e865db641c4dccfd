"""Pages from columns in memory are the pages the database would have made, whatever has happened to the trials."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from stepsize.application.filters import parse_filter, parse_sort
from stepsize.domain.trial import TrialState
from stepsize.store.database import Connection, Database
from stepsize.store.ledger import open_ledger
from stepsize.store.listing import TrialQuery, list_trials
from stepsize.store.trial_index import TrialIndex
from tests.builders import make_job, make_trial
from tests.databases import POSTGRESQL_WHEN_SLOW

SORTS = [None, "number", "-number", "params.x", "-params.x", "values.loss", "-values.loss", "duration_s", "-step"]
FILTERS: list[list[str]] = [
    [],
    ["params.x>0.5"],
    ["params.x!=a"],
    ["params.x=true"],
    ["params.x=1"],
    ["values.loss<=2", "params.x!=1"],
    ["step>3"],
    ["number<7"],
    ["params.none=1"],
]
VALUES: list[Any] = [None, 1, 1, 0.25, 0.5, 2.0, "a", "a", "b", "1", True, False]


def _make_trials(connection: Connection, job_id: str, draw: random.Random, n_trials: int) -> None:
    for _ in range(n_trials):
        x = draw.choice(VALUES)
        columns: dict[str, Any] = {
            "params": {} if x is None else {"x": x},
            "started_at": 10.0,
            "step": draw.randint(0, 5),
        }
        if draw.random() < 0.7:
            columns |= {"state": TrialState.COMPLETED, "values": {"loss": float(draw.randint(0, 4))}}
            columns |= {"finished_at": 10.0 + draw.randint(0, 3)}
        else:
            columns |= {"state": TrialState.RUNNING}
        make_trial(connection, job_id, **columns)


def _pages(fetch: Callable[[TrialQuery], Any], **query: Any) -> list[list[int]]:
    pages, token = [], None
    while True:
        page = fetch(TrialQuery(**query, page_token=token))
        pages.append([trial.number for trial in page.items])
        token = page.next_token
        if token is None:
            return pages


def _assert_alike(database: Database, index: TrialIndex, job_id: str) -> None:
    with database.read() as connection:
        for sort in SORTS:
            for filters in FILTERS:
                for state in (None, TrialState.COMPLETED):
                    query = {
                        "job_id": job_id,
                        "limit": 4,
                        "state": state,
                        "sort": sort and parse_sort(sort),
                        "conditions": [parse_filter(one) for one in filters],
                    }
                    here = _pages(lambda one: index.fetch_page(connection, one), **query)
                    assert here == _pages(lambda one: list_trials(connection, one), **query), (sort, filters, state)


@POSTGRESQL_WHEN_SLOW
def test_pages_are_those_of_the_database_as_trials_come_and_change(database: Database) -> None:
    draw, index = random.Random(0), TrialIndex()
    with database.write() as connection:
        job_id = make_job(connection).id
        _make_trials(connection, job_id, draw, 12)
    _assert_alike(database, index, job_id)
    with database.write() as connection:
        _make_trials(connection, job_id, draw, 5)
        for number in (0, 3, 14):
            with open_ledger(connection, job_id) as ledger:
                ledger.touch_trial(number, values={"loss": draw.random() * 4}, step=draw.randint(0, 9))
        with open_ledger(connection, job_id) as ledger:
            ledger.touch_trial(1, values={})
    _assert_alike(database, index, job_id)


@POSTGRESQL_WHEN_SLOW
def test_many_changes_at_once_are_told_too(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepsize.store.trial_index._REBUILT_FROM", 3)
    draw, index = random.Random(1), TrialIndex()
    with database.write() as connection:
        job_id = make_job(connection).id
        _make_trials(connection, job_id, draw, 6)
    _assert_alike(database, index, job_id)
    with database.write() as connection:
        _make_trials(connection, job_id, draw, 6)
    _assert_alike(database, index, job_id)


def test_an_earlier_moment_leaves_what_a_later_one_has_read(database: Database) -> None:
    index, sort = TrialIndex(), parse_sort("-values.loss")
    with database.write() as connection:
        job_id = make_job(connection).id
        make_trial(connection, job_id, state=TrialState.RUNNING, values={"loss": 1.0})
        make_trial(connection, job_id, state=TrialState.RUNNING, values={"loss": 2.0})
    query = TrialQuery(job_id=job_id, sort=sort)
    with database.read() as earlier:
        assert [trial.number for trial in index.fetch_page(earlier, query).items] == [1, 0]
        with database.write() as connection, open_ledger(connection, job_id) as ledger:
            ledger.touch_trial(0, values={"loss": 3.0})
        with database.read() as later:
            assert [trial.number for trial in index.fetch_page(later, query).items] == [0, 1]
        other = TrialQuery(job_id=job_id, sort=parse_sort("params.learning_rate"), conditions=[parse_filter("step!=1")])
        index.fetch_page(earlier, other)
        index.fetch_page(earlier, query)
    with database.read() as later:
        assert [trial.number for trial in index.fetch_page(later, query).items] == [0, 1]


def test_jobs_not_asked_for_the_longest_are_dropped(database: Database) -> None:
    index = TrialIndex(most_cells=8)
    with database.write() as connection:
        job_ids = [make_job(connection).id for _ in range(3)]
        for job_id in job_ids:
            for _ in range(3):
                make_trial(connection, job_id)
    with database.read() as connection:
        for job_id in job_ids:
            index.fetch_page(connection, TrialQuery(job_id=job_id, sort=parse_sort("step")))
    assert list(index._jobs) == job_ids[2:]
