"""The HTTP client against a scripted service: retries, pages, errors, streams."""

import httpx
import pytest

from stepsize.client import ApiError, Client, ServerUnreachableError
from stepsize.client.events import parse_events
from stepsize.spec.job import JobSpec
from tests.unit.fake_service import (
    CutStream,
    FakeService,
    event_stream,
    event_text,
    job_json,
    problem,
    trial_json,
)

REFUSED = httpx.ConnectError("[Errno 111] Connection refused")


@pytest.fixture
def fake() -> FakeService:
    return FakeService()


def test_submit_retried_after_a_lost_answer_repeats_its_idempotency_key(fake: FakeService) -> None:
    fake.on("POST /v1/jobs", httpx.ReadTimeout("too slow"), httpx.Response(503), httpx.Response(201, json=job_json()))
    job = fake.client().submit({"trainer": {"name": "synthetic"}})
    keys = [request.headers["Idempotency-Key"] for request in fake.requests]
    assert job.id == "job_1"
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_two_submissions_have_different_keys(fake: FakeService) -> None:
    fake.on("POST /v1/jobs", job_json())
    for _ in range(2):
        fake.client().submit({"trainer": {"name": "synthetic"}})
    assert fake.requests[0].headers["Idempotency-Key"] != fake.requests[1].headers["Idempotency-Key"]


def test_a_mapping_is_sent_as_it_is_and_a_spec_with_its_defaults(fake: FakeService) -> None:
    fake.on("POST /v1/jobs", job_json())
    fake.client().submit({"trainer": {"name": "x"}, "typo": 1})
    fake.client().submit(JobSpec.model_validate({"trainer": {"name": "x"}}))
    as_sent, with_defaults = fake.bodies()
    assert as_sent == {"trainer": {"name": "x"}, "typo": 1}
    assert with_defaults["budget"]["max_failed_trials"] == 10


def test_retry_after_is_obeyed(fake: FakeService) -> None:
    fake.on(
        "GET /v1/jobs/job_1", httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(200, json=job_json())
    )
    fake.client().job("job_1")
    assert fake.pauses == [7.0]


def test_pauses_grow_and_an_absent_service_is_named(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", REFUSED)
    with pytest.raises(ServerUnreachableError, match=r"http://127\.0\.0\.1:8000 .*refused"):
        fake.client().job("job_1")
    assert len(fake.pauses) == 3
    # Jitter takes away at most half of 0.1, 0.2 and 0.4 s, so even the extremes keep their order.
    assert sorted(fake.pauses) == fake.pauses


def test_something_else_at_the_address_is_no_traceback(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", httpx.Response(200, text="<html>hello</html>"))
    with pytest.raises(ServerUnreachableError, match="speak its language"):
        fake.client().job("job_1")


def test_a_refusal_names_each_wrong_field(fake: FakeService) -> None:
    errors = [
        {"pointer": "/search_space/lr", "message": 'did you mean "learning_rate"?'},
        {"pointer": "/x", "message": "y"},
    ]
    fake.on("POST /v1/jobs", problem(422, "The request is wrong", errors=errors))
    with pytest.raises(ApiError) as caught:
        fake.client().submit({})
    assert caught.value.problem.status == 422
    assert str(caught.value).splitlines() == [
        "The request is wrong (422)",
        '  /search_space/lr: did you mean "learning_rate"?',
        "  /x: y",
    ]
    assert len(fake.requests) == 1, "a refusal is not retried"


def test_a_proxys_error_page_is_still_an_api_error(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", httpx.Response(502, text="<html>bad gateway</html>"))
    with pytest.raises(ApiError, match=r"Bad Gateway \(502\): what answers at http://\S+ is no Stepsize service"):
        fake.client().job("job_1")


def test_all_pages_are_walked(fake: FakeService) -> None:
    fake.on(
        "GET /v1/jobs/job_1/trials",
        {"items": [trial_json(0), trial_json(1)], "next_page_token": "t2"},
        {"items": [trial_json(2)], "next_page_token": None},
    )
    found = fake.client().trials("job_1", filters=["params.learning_rate>=1e-3", "values.loss<1"], sort="-values.loss")
    assert [trial.number for trial in found] == [0, 1, 2]
    first, second = (request.url.params for request in fake.requests)
    assert first.get_list("filter") == ["params.learning_rate>=1e-3", "values.loss<1"]
    assert "page_token" not in first
    assert second["page_token"] == "t2"


def test_limit_stops_between_and_within_pages(fake: FakeService) -> None:
    fake.on("GET /v1/jobs", {"items": [job_json(), job_json()], "next_page_token": "t2"})
    assert len(list(fake.client().jobs(limit=4))) == 4
    assert [request.url.params["limit"] for request in fake.requests] == ["4", "2"]


def test_fields_of_a_newer_service_are_kept(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json(mood="good"))
    assert fake.client().job("job_1").model_dump()["mood"] == "good"


def test_events_resume_after_a_cut_connection(fake: FakeService) -> None:
    fake.on(
        "GET /v1/jobs/job_1/events",
        httpx.Response(200, stream=CutStream(event_text("trial", 10, trial_json(3)))),
        REFUSED,
        event_stream(event_text("job", 12, job_json(state="completed", change=12))),
    )
    fake.on("GET /v1/jobs/job_1", job_json(state="completed", change=12))
    seen = [(event.kind, event.id) for event in fake.client().events("job_1", after="9")]
    assert seen == [("trial", "10"), ("job", "12")]
    streams = [request for request in fake.requests if request.url.path.endswith("/events")]
    assert [request.headers["Last-Event-ID"] for request in streams] == ["9", "10", "10"]


def test_a_stream_that_ends_before_the_job_is_taken_up_again(fake: FakeService) -> None:
    fake.on(
        "GET /v1/jobs/job_1/events",
        event_stream(event_text("job", 10, job_json(change=10))),
        event_stream(event_text("job", 11, job_json(state="completed", change=11))),
    )
    fake.on("GET /v1/jobs/job_1", job_json(change=10), job_json(state="completed", change=11))
    assert [event.id for event in fake.client().events("job_1")] == ["10", "11"]


def test_an_absent_job_ends_the_event_stream_at_once(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/nope/events", problem(404, "No such thing"))
    with pytest.raises(ApiError, match="404"):
        list(fake.client().events("nope"))


def test_follow_polls_where_events_are_not_to_be_had(fake: FakeService) -> None:
    fake.on(
        "GET /v1/jobs/job_1",
        job_json(),
        httpx.Response(200, json=job_json(change=10), headers={"ETag": '"10"'}),
        httpx.Response(304),
        httpx.Response(200, json=job_json(state="failed", change=11)),
    )
    fake.on("GET /v1/jobs/job_1/events", httpx.Response(406, text="no streams here"))
    states = [(job.state, job.change) for job in fake.client().follow("job_1")]
    assert states == [("running", 9), ("running", 10), ("failed", 11)]
    assert fake.requests[-1].headers["If-None-Match"] == '"10"'


def test_waiting_for_a_finished_job_opens_no_stream(fake: FakeService) -> None:
    fake.on("GET /v1/jobs/job_1", job_json(state="completed"))
    assert fake.client().wait("job_1").state == "completed"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_events_are_parsed_wherever_chunks_end(size: int) -> None:
    # U+2028 is a line break to str.splitlines, but not in an event stream.
    text = ": ping\r\n\r\n" + event_text("report", 7, {"note": "a\u2028b"}) + "event: job\ndata: {\ndata: }\n\ndata: {}"
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    first, second = parse_events(chunks)
    assert (first.kind, first.id, first.data) == ("report", "7", {"note": "a\u2028b"})
    assert (second.kind, second.id, second.data) == ("job", "7", {})


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSIZE_SERVER", "http://tuner.example:8000/")
    with Client() as named, Client("http://127.0.0.1:9000") as given:
        assert named.base_url == "http://tuner.example:8000"
        assert given.base_url == "http://127.0.0.1:9000"
