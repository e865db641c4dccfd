"""What monitoring reads: counts that are true, few series, and an answer where the database has none."""

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from stepsize.api.app import create_app
from stepsize.domain.trial import TrialState
from stepsize.settings import Settings
from stepsize.store.database import Database
from tests.builders import make_job, make_trial
from tests.integration.api.conftest import enlist, submit
from tests.waiting import wait_for

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(client: TestClient | httpx.Client) -> Samples:
    """Return every sample by its name and labels, as Prometheus' own parser reads them."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(response.text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    """Return a sample's value."""
    return samples[name, frozenset(labels.items())]


def test_the_record_is_counted(client: TestClient, database: Database) -> None:
    submit(client)
    enlist(database)
    with database.write() as connection:
        job_id = make_job(connection).id
        make_trial(connection, job_id, state=TrialState.RUNNING, worker="worker-1")
        make_trial(connection, job_id, number=1, state=TrialState.RUNNING, worker="a client elsewhere")
        make_trial(connection, job_id, number=2, state=TrialState.COMPLETED)
    samples = scrape(client)
    assert of(samples, "stepsize_jobs", state="queued") == 2
    assert of(samples, "stepsize_jobs", state="failed") == 0, "every state is there"
    assert of(samples, "stepsize_trials", state="running") == 2
    assert of(samples, "stepsize_trials", state="completed") == 1
    assert of(samples, "stepsize_workers_alive") == 1
    assert of(samples, "stepsize_slots_busy") == 1
    assert of(samples, "stepsize_database_up") == 1
    assert 0 < of(samples, "stepsize_database_round_trip_seconds") < 5


def test_requests_are_counted_by_template_and_never_by_path(client: TestClient) -> None:
    for path in ("/v1/jobs/one", "/v1/jobs/two", "/nothing/here", "/docs/swagger-ui.css"):
        client.get(path)
    client.get("/v1/jobs", headers={"Host": "evil.example"})
    client.request("BREW", "/v1/jobs")
    samples = scrape(client)
    name = "stepsize_http_requests_total"
    assert of(samples, name, method="GET", route="/v1/jobs/{job_id}", status="404") == 2
    assert of(samples, name, method="GET", route="other", status="404") == 1
    assert of(samples, name, method="GET", route="other", status="421") == 1
    assert of(samples, name, method="other", route="/v1/jobs", status="405") == 1
    took = "stepsize_http_request_duration_seconds"
    assert of(samples, f"{took}_count", method="GET", route="/v1/jobs/{job_id}") == 2
    assert of(samples, f"{took}_bucket", method="GET", route="/v1/jobs/{job_id}", le="+Inf") == 2
    told = {value for _, labels in samples for _, value in labels}
    assert not told & {"one", "two", "/v1/jobs/one", "/nothing/here", "BREW"}


def test_streams_and_waiters_are_told_while_they_last(server: str) -> None:
    with httpx.Client(base_url=server, timeout=30) as client:
        with client.stream("GET", "/v1/events") as stream:
            chunks = stream.iter_bytes()  # kept: without it the stream is closed
            next(chunks)
            assert of(scrape(client), "stepsize_event_streams_open", of="all_jobs") == 1
            assert of(scrape(client), "stepsize_event_streams_open", of="one_job") == 0
        wait_for(lambda: of(scrape(client), "stepsize_event_streams_open", of="all_jobs") == 0)
        name = "stepsize_http_requests_total"
        assert of(scrape(client), name, method="GET", route="/v1/events", status="200") == 1


def test_a_database_that_is_away_is_told_and_the_rest_still_stands(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql+psycopg://nobody@127.0.0.1:1/nothing"})
    with TestClient(create_app(away)) as client:
        client.get("/healthz")
        samples = scrape(client)
    assert of(samples, "stepsize_database_up") == 0
    assert of(samples, "stepsize_http_requests_total", method="GET", route="/healthz", status="200") == 1
    assert not any(name in ("stepsize_jobs", "stepsize_slots") for name, _ in samples)


def test_openmetrics_is_given_to_who_takes_it(app: FastAPI) -> None:
    with TestClient(app) as client:
        response = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert client.get("/metrics", headers={"Host": "evil.example"}).status_code == 421
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.text.endswith("# EOF\n")
