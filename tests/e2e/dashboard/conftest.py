"""The dashboard in a real browser, against a real service."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from benchmarks.history import add_history
from stepsize.domain.job import JobState
from stepsize.store.database import Database
from tests.builders import make_job, make_spec
from tests.e2e.dashboard.chromium import FLAGS, find_chromium
from tests.e2e.dashboard.site import SPACE, Site, running_site
from tests.waiting import wait_for

PATIENCE_MS = 15_000
"""Far beyond what anything here takes, for machines that do other things too."""

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A `stepsize up` with two slots, for all tests of the dashboard."""
    with running_site(tmp_path_factory.mktemp("dashboard")) as running:
        yield running


@pytest.fixture(scope="package")
def finished_job(site: Site) -> str:
    """A job with a few dozen finished trials, a few of them diverged."""
    trainer = {"name": "synthetic", "params": {"n_reports": 3, "noise": 0.02, "diverge_above": 0.3}}
    job_id = site.submit(name="finished", trainer=trainer, labels={"team": "vision"}, budget={"max_trials": 30})
    site.finish(job_id)
    return job_id


@pytest.fixture(scope="package")
def front_job(site: Site) -> str:
    """A job with two objectives; of its trials 0, 1 and 2 are beaten by none, 3 and 4 are."""
    objectives = [{"metric": "accuracy", "direction": "maximize"}, {"metric": "seconds", "direction": "minimize"}]
    job_id = site.submit(name="front", engine="external", trainer={"name": "by hand"}, objectives=objectives)
    for accuracy, seconds in [(0.9, 30.0), (0.8, 20.0), (0.7, 10.0), (0.75, 25.0), (0.6, 40.0)]:
        site.train(job_id, {"accuracy": accuracy, "seconds": seconds})
    site.cancel(job_id)
    return job_id


@pytest.fixture(scope="package")
def range_test(site: Site) -> str:
    """A range test with a suggestion at each of two batch sizes."""
    trainer = {"name": "synthetic", "params": {"diverge_above": 0.3}}
    body = {"name": "rates", "trainer": trainer, "batch_sizes": [32, 128], "steps": 40}
    test_id: str = site.http.post("/v1/range-tests", json=body).json()["id"]
    wait_for(lambda: site.http.get(f"/v1/range-tests/{test_id}").json()["results"], timeout_s=60)
    return test_id


@pytest.fixture(scope="package")
def large_job(site: Site) -> str:
    """A paused job with 10,000 finished trials, written into the record beside the running service."""
    database = Database(f"sqlite:///{site.folder / 'stepsize.db'}")
    try:
        with database.write() as connection:
            spec = make_spec(
                name="large",
                trainer={"name": "synthetic", "version": "1", "params": {"step_s": 0.2}},
                search_space=SPACE,
                budget={"max_trials": 20_000},
            )
            job_id = make_job(connection, state=JobState.PAUSED, spec=spec).id
        add_history(database, job_id, n_trials=10_000, n_reports=1)
    finally:
        database.dispose()
    return job_id


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    path = find_chromium()
    assert path, "no Chromium: run `make chromium`, or name the path of one in $CHROMIUM"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the page's console says is wrong; a test that provokes complaints clears the list."""
    return []


@pytest.fixture
def open_page(browser: Browser, site: Site, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """Opens a page at an address such as `#/jobs`; afterwards nothing may have been complained about in the console."""
    contexts = []

    def open_at(address: str, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda message: _note(message, complaints))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{site.url}/{address}")
        return page

    yield open_at
    for context in contexts:
        for page in context.pages:  # a page asks again and again: what a test answers for the service ends first
            page.unroute_all(behavior="wait")
        context.close()
    assert complaints == []


def _note(message: ConsoleMessage, complaints: list[str]) -> None:
    if message.type in ("error", "warning"):
        complaints.append(f"{message.text} ({message.location.get('url')})")
