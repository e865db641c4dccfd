"""Filters, sorts and pages of trials: the same answers on both databases."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from stepsize.store.ledger import open_ledger
from tests.builders import make_job, make_report, make_spec, make_trial
from tests.integration.api.conftest import pointers

PARAMS: list[dict[str, Any]] = [
    {"x": 1, "kind": "a", "flag": True},
    {"x": 1.5, "kind": "b", "flag": False},
    {"x": "1", "kind": "B"},
    {"x": "text", "kind": "é"},
    {"kind": "a"},
    {"x": 1e-3, 'odd"name': 2},
    {"x": 2**53, "$.x": 7},
]


@pytest.fixture
def job_id(database: Database) -> str:
    with database.write() as connection:
        job = make_job(connection)
        for number, params in enumerate(PARAMS):
            has_ended = bool(number % 2)
            ended: dict[str, Any] = {"values": {"loss": number / 4}, "finished_at": 110.0 - number}
            make_trial(
                connection,
                job.id,
                state=TrialState.COMPLETED if has_ended else TrialState.RUNNING,
                params=params,
                started_at=100.0,
                **(ended if has_ended else {}),
            )
    return job.id


def test_a_trial_names_what_its_job_fixes_and_applies_to_it(client: TestClient, database: Database) -> None:
    fixed = {"dataset": "digits", "epochs": 3, "momentum": 0.9, "beta1": 0.8}
    trainer = {"name": "image_classifier", "params": fixed}
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(trainer=trainer)).id
        for optimizer in ("sgd", "adam"):
            make_trial(connection, job_id, params={"learning_rate": 0.1, "optimizer": optimizer})
    sgd, adam = (client.get(f"/v1/jobs/{job_id}/trials/{number}").json() for number in (0, 1))
    assert sgd["fixed_params"] == {"dataset": "digits", "epochs": 3, "momentum": 0.9}
    assert adam["fixed_params"] == {"dataset": "digits", "epochs": 3, "beta1": 0.8}


def test_what_an_unknown_trainer_was_given_is_all_said(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(trainer={"name": "gone", "params": {"depth": 3}})).id
        make_trial(connection, job_id)
    assert client.get(f"/v1/jobs/{job_id}/trials/0").json()["fixed_params"] == {"depth": 3}


def _numbers(client: TestClient, job_id: str, **query: Any) -> list[int]:
    response = client.get(f"/v1/jobs/{job_id}/trials", params=query)
    assert response.status_code == 200, response.text
    return [trial["number"] for trial in response.json()["items"]]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (["params.x>=1"], [0, 1, 6]),
        (["params.x<1"], [5]),
        (["params.x=1"], [0, 2]),
        (["params.x!=1"], [1, 3, 5, 6]),
        (["params.x=text"], [3]),
        (["params.x!=text"], [0, 1, 2, 5, 6]),
        (["params.kind=a"], [0, 4]),
        (["params.kind=é"], [3]),
        (["params.kind>0"], []),
        (["params.flag=true"], [0]),
        (["params.flag!=true"], [1]),
        (['params.odd"name=2'], [5]),
        (["params.$.x=7"], [6]),
        (["params.x>=1", "params.kind=a"], [0]),
        (["values.loss>0.5"], [3, 5]),
        (["number>=5"], [5, 6]),
        (["duration_s<=7"], [3, 5]),
        (['params.x="1"'], [2]),
        (["params.x=1", "params.x>=1"], [0]),
        (["params.`x`=1"], [0, 2]),
        (["params.learning_rate>0"], []),
    ],
)
def test_filters_compare_numbers_with_numbers_and_strings_with_strings(
    client: TestClient, job_id: str, filters: list[str], numbers: list[int]
) -> None:
    assert _numbers(client, job_id, filter=filters) == numbers


@pytest.mark.parametrize(
    ("sort", "numbers"),
    [
        ("number", [0, 1, 2, 3, 4, 5, 6]),
        ("-number", [6, 5, 4, 3, 2, 1, 0]),
        ("values.loss", [1, 3, 5, 0, 2, 4, 6]),
        ("-values.loss", [5, 3, 1, 0, 2, 4, 6]),
        ("duration_s", [5, 3, 1, 0, 2, 4, 6]),
        # Numbers, then strings, then those without it, in either direction.
        ("params.x", [5, 0, 1, 6, 2, 3, 4]),
        ("-params.x", [6, 1, 0, 5, 3, 2, 4]),
        # By code point on both databases: B before a, é last.
        ("params.kind", [2, 0, 4, 1, 3, 5, 6]),
    ],
)
def test_sorts_put_what_lacks_the_key_last(client: TestClient, job_id: str, sort: str, numbers: list[int]) -> None:
    assert _numbers(client, job_id, sort=sort) == numbers


@pytest.mark.parametrize("sort", ["number", "-number", "values.loss", "-values.loss", "params.x", "-params.x", None])
@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("across", [False, True])
def test_pages_joined_are_the_whole_list(
    client: TestClient, job_id: str, sort: str | None, limit: int, across: bool
) -> None:
    here = "/v1/trials" if across else f"/v1/jobs/{job_id}/trials"
    query: dict[str, Any] = {} if sort is None else {"sort": sort}
    whole = [trial["id"] for trial in client.get(here, params=query).json()["items"]]
    paged, token = list[str](), None
    while True:
        page = client.get(here, params={**query, "limit": limit, **({"page_token": token} if token else {})}).json()
        paged += [trial["id"] for trial in page["items"]]
        token = page["next_page_token"]
        if token is None:
            break
    assert len(whole) == len(PARAMS)
    assert paged == whole


def test_trials_are_listed_by_state_and_across_jobs(client: TestClient, database: Database, job_id: str) -> None:
    with database.write() as connection:
        other = make_job(connection)
        make_trial(connection, other.id, state=TrialState.FAILED)
    assert _numbers(client, job_id, state="completed") == [1, 3, 5]
    failed = client.get("/v1/trials", params={"state": "failed"}).json()["items"]
    assert [trial["job_id"] for trial in failed] == [other.id]
    assert len(client.get("/v1/trials").json()["items"]) == len(PARAMS) + 1


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"filter": "params.x"}, "?filter"),
        ({"filter": "params.x==1"}, "?filter"),
        ({"filter": "params.x>abc"}, "?filter"),
        ({"filter": "params.x=\0"}, "?filter"),
        ({"sort": "params"}, "?sort"),
        ({"state": "done"}, "?state"),
        ({"limit": 0}, "?limit"),
        ({"limit": 501}, "?limit"),
        ({"filte": "params.x>1"}, "?filte"),
    ],
)
def test_a_wrong_query_is_refused(client: TestClient, job_id: str, query: dict[str, Any], pointer: str) -> None:
    (named,) = pointers(client.get(f"/v1/jobs/{job_id}/trials", params=query))
    assert named.startswith(pointer)


@pytest.mark.parametrize("token", ["garbage", "WyJ0cmlhbHMgTm9uZSIsMS41XQ", "", "2", "a b", "é", "\0"])
def test_what_is_no_page_token_is_told_where_one_comes_from(client: TestClient, job_id: str, token: str) -> None:
    for path in ("/v1/jobs", "/v1/trials", f"/v1/jobs/{job_id}/trials", f"/v1/jobs/{job_id}/trials/0/reports"):
        said = pointers(client.get(path, params={"page_token": token}))["?page_token"]
        assert "page token" in said
        assert "leave it out for the first page, and give the next_page_token" in said


def test_other_services_words_for_a_page_are_known(client: TestClient) -> None:
    for name in ("cursor", "page", "offset"):
        assert "did you mean 'page_token'?" in pointers(client.get("/v1/jobs", params={name: "1"}))[f"?{name}"]
    assert "did you mean 'limit'?" in pointers(client.get("/v1/jobs", params={"page_size": "1"}))["?page_size"]


@pytest.fixture
def kinds_job(database: Database) -> str:
    with database.write() as connection:
        choices: list[Any] = [1, "1", True, "true", "a b, c", 0, False]
        kind = {"type": "categorical", "choices": choices}
        rate = {"type": "float", "low": 0.0, "high": 1.0}
        spec = make_spec(
            search_space={"kind": kind, "rate": rate}, trainer={"name": "synthetic", "params": {"floor": 0.5}}
        )
        job = make_job(connection, spec=spec)
        for choice in choices:
            make_trial(connection, job.id, params={"kind": choice, "rate": 0.5})
    return job.id


@pytest.mark.parametrize(
    ("condition", "numbers"),
    [
        ("params.kind=1", [0]),
        ('params.kind="1"', [1]),
        ("params.kind=true", [2]),
        ('params.kind="true"', [3]),
        ("params.kind=1.0", [0]),
        ("params.kind=a b, c", [4]),
        ('params.kind="a b, c"', [4]),
        ("params.kind=0", [5]),
        ("params.kind=false", [6]),
        ("params.kind!=1", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_filters_value_has_a_type_as_choices_have(
    client: TestClient, kinds_job: str, condition: str, numbers: list[int]
) -> None:
    assert _numbers(client, kinds_job, filter=condition) == numbers


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"filter": "values.lss>0"}, "no trial of this job has a metric 'lss'; did you mean 'loss'?"),
        ({"sort": "-values.lss"}, "no trial of this job has a metric 'lss'; did you mean 'loss'?"),
        ({"filter": "params.rte>0"}, "this job searches no parameter 'rte'; did you mean 'rate'?"),
        ({"sort": "params.Kind"}, "this job searches no parameter 'Kind'; did you mean 'kind'?"),
        ({"filter": "params.floor=0.5"}, "floor is not searched: it is 0.5 in every trial of this job"),
        ({"filter": "params.kind=a b c"}, "kind is never 'a b c' in this job; did you mean 'a b, c'?"),
        ({"filter": "params.kind!=True"}, "kind is never 'True' in this job; did you mean 'true'?"),
        ({"filter": "params.rate=fast"}, "rate is a number, and 'fast' is none"),
    ],
)
def test_what_no_trial_of_a_job_can_have_is_told(
    client: TestClient, kinds_job: str, query: dict[str, str], said: str
) -> None:
    response = client.get(f"/v1/jobs/{kinds_job}/trials", params=query)
    assert response.status_code == 422
    assert response.json()["errors"] == [{"pointer": f"?{next(iter(query))}", "message": said}]


def test_what_no_trial_anywhere_can_have_is_told(client: TestClient, kinds_job: str) -> None:
    def list_all(**query: str) -> Any:
        return client.get("/v1/trials", params=query)

    assert list_all(filter="values.val_accuracy>0").json()["items"] == []  # a trainer there is reports it
    assert len(list_all(sort="params.kind").json()["items"]) == 7
    said = "no trial has a metric 'val_acuracy'; did you mean 'val_accuracy'?"
    assert list_all(filter="values.val_acuracy>0").json()["errors"] == [{"pointer": "?filter", "message": said}]


def test_metrics_that_clients_have_yet_to_name_may_be_asked_for(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, spec=make_spec(engine="external"))
    assert _numbers(client, job.id, filter="values.seconds>1") == []
    with database.write() as connection:
        make_trial(connection, job.id, state=TrialState.COMPLETED, values={"seconds": 2.0})
    assert _numbers(client, job.id, filter="values.seconds>1") == [0]
    assert "?filter" in pointers(client.get(f"/v1/jobs/{job.id}/trials", params={"filter": "values.second>1"}))


def test_jobs_of_a_misspelt_trainer_are_told_of(client: TestClient) -> None:
    response = client.get("/v1/jobs", params={"trainer": "image_clasifier"})
    said = "there is no trainer 'image_clasifier', and no job of one; did you mean 'image_classifier'?"
    assert response.json()["errors"] == [{"pointer": "?trainer", "message": said}]
    for name in ("image_classifier", "entirely-ours"):
        assert client.get("/v1/jobs", params={"trainer": name}).json()["items"] == []


def test_a_token_of_another_order_is_refused(client: TestClient, job_id: str) -> None:
    here = f"/v1/jobs/{job_id}/trials"
    token = client.get(here, params={"limit": 1, "sort": "params.x"}).json()["next_page_token"]
    assert "?page_token" in pointers(client.get(here, params={"sort": "values.loss", "page_token": token}))


def test_reports_are_paged_by_step(client: TestClient, database: Database, job_id: str) -> None:
    with database.write() as connection, open_ledger(connection, job_id) as ledger:
        ledger.add_reports([make_report(0, step, loss=step / 2) for step in (1, 2, 2**40)])
    here = f"/v1/jobs/{job_id}/trials/0/reports"
    first = client.get(here, params={"limit": 2}).json()
    rest = client.get(here, params={"limit": 2, "page_token": first["next_page_token"]}).json()
    assert [report["step"] for report in first["items"] + rest["items"]] == [1, 2, 2**40]
    assert first["items"][0]["values"] == {"loss": 0.5}
    assert rest["next_page_token"] is None


@pytest.mark.parametrize("path", ["/v1/jobs/none/trials", "/v1/jobs/none/trials/0", "/v1/jobs/none/trials/0/reports"])
def test_trials_of_a_job_there_is_not_are_not_found(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()["type"]) == (404, "urn:stepsize:no-such-job")
