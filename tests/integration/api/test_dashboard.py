"""The dashboard's files and the history it draws."""

import re

from starlette.testclient import TestClient

from benchmarks.history import add_history
from stepsize.domain.job import JobState
from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from tests.builders import make_job, make_spec, make_trial


def test_the_page_is_asked_for_again_and_its_files_never(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert client.get("/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304

    assets = sorted(set(re.findall(r'(?:src|href)="(/dashboard/[^"]+)"', page.text)))
    assert len(assets) > 20
    for path in assets:
        asset = client.get(path)
        assert asset.status_code == 200, path
        assert "immutable" in asset.headers["cache-control"]
        assert asset.headers["x-content-type-options"] == "nosniff"


def test_modules_import_only_files_there_are(client: TestClient) -> None:
    base = re.search(r'"(/dashboard/\w+/)main.js"', client.get("/").text)
    assert base is not None
    waiting, seen = ["main.js"], set[str]()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        module = client.get(base[1] + path)
        assert module.status_code == 200, path
        assert module.headers["content-type"].startswith("text/javascript")
        for imported in re.findall(r'from "(\.[^"]+)"', module.text):
            resolved = str(module.url.join(imported)).partition(base[1])[2]
            if resolved not in seen:
                waiting.append(resolved)
    assert "views/jobs.js" in seen


def test_the_policy_lets_nothing_inline_or_foreign_in(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_an_old_or_unknown_file_is_not_found(client: TestClient) -> None:
    assert client.get("/dashboard/0123456789abcdef/main.js").status_code == 404
    assert client.get("/dashboard/x/../../settings.py").status_code == 404


def test_history_has_every_finished_trial_and_the_best_so_far(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        for objective in (3.0, 1.0, 2.0):
            make_trial(
                connection, job_id, state=TrialState.COMPLETED, objective=objective, params={"learning_rate": objective}
            )
        make_trial(connection, job_id, state=TrialState.PRUNED, values={"loss": 0.5})
        make_trial(connection, job_id, state=TrialState.INFEASIBLE, params={"batch_size": 64})
        make_trial(connection, job_id, state=TrialState.RUNNING)
    history = client.get(f"/v1/jobs/{job_id}/history").json()

    assert history["numbers"] == [0, 1, 2, 3, 4]
    assert history["states"] == ["completed"] * 3 + ["pruned", "infeasible"]
    assert history["values"] == [3.0, 1.0, 2.0, 0.5, None]
    assert history["best"] == [3.0, 1.0, 1.0, 1.0, 1.0], "a pruned trial is no result"
    assert history["params"] == {"learning_rate": [3.0, 1.0, 2.0, 0.01, None], "batch_size": [None] * 4 + [64]}


def test_a_thinned_history_keeps_every_improvement(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection, state=JobState.PAUSED).id
    add_history(database, job_id, n_trials=300, n_reports=1)
    whole = client.get(f"/v1/jobs/{job_id}/history").json()
    thinned = client.get(f"/v1/jobs/{job_id}/history?max_points=50").json()

    assert len(whole["numbers"]) == thinned["n_trials"] == 300
    assert 25 < len(thinned["numbers"]) <= 50
    assert sorted(set(thinned["best"])) == sorted(set(whole["best"]))
    assert thinned["numbers"] == sorted(thinned["numbers"])
    columns = dict(zip(whole["numbers"], whole["values"], strict=True))
    assert thinned["values"] == [columns[number] for number in thinned["numbers"]]


def test_history_follows_the_direction_and_refuses_silly_sizes(client: TestClient, database: Database) -> None:
    spec = make_spec(objectives=[{"metric": "accuracy", "direction": "maximize"}])
    with database.write() as connection:
        job_id = make_job(connection, spec=spec).id
        for objective in (0.5, 0.9, 0.7):
            make_trial(connection, job_id, state=TrialState.COMPLETED, objective=objective)
    assert client.get(f"/v1/jobs/{job_id}/history").json()["best"] == [0.5, 0.9, 0.9]
    assert client.get(f"/v1/jobs/{job_id}/history?max_points=0").status_code == 422
    assert client.get("/v1/jobs/job_none/history").status_code == 404
