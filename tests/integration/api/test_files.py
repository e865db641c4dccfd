"""Logs and artifacts."""

from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from stepsize.application.files import LOG_CAP_BYTES
from stepsize.domain.trial import TrialState
from stepsize.settings import Settings
from stepsize.store.database import Database
from tests.builders import make_job, make_trial


@pytest.fixture
def job_id(database: Database) -> str:
    with database.write() as connection:
        job = make_job(connection)
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=2.0, artifacts=["a.bin"])
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=1.0, artifacts=["a.bin", "../log.txt"])
    return job.id


def _directory(settings: Settings, job_id: str, number: int) -> Path:
    path = settings.data_dir / "jobs" / job_id / "trials" / str(number)
    (path / "artifacts").mkdir(parents=True, exist_ok=True)
    return path


def test_an_artifact_is_downloaded(client: TestClient, settings: Settings, job_id: str) -> None:
    for number in (0, 1):
        (_directory(settings, job_id, number) / "artifacts" / "a.bin").write_bytes(b"trial %d\0" % number)
    response = client.get(f"/v1/jobs/{job_id}/trials/0/artifacts/a.bin")
    assert (response.status_code, response.content) == (200, b"trial 0\0")
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")
    assert client.get(f"/v1/jobs/{job_id}/best/artifacts/a.bin").content == b"trial 1\0"


@pytest.mark.parametrize("name", ["plots/loss.png", "loss curve.png", ".config", "größe.txt"])
def test_every_name_that_a_trial_lists_is_downloaded(
    client: TestClient, database: Database, settings: Settings, name: str
) -> None:
    with database.write() as connection:
        job = make_job(connection)
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=1.0, artifacts=[name])
    path = _directory(settings, job.id, 0) / "artifacts" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("kept")
    for written in (quote(name), quote(name, safe="")):
        assert client.get(f"/v1/jobs/{job.id}/trials/0/artifacts/{written}").text == "kept"
        assert client.get(f"/v1/jobs/{job.id}/best/artifacts/{written}").text == "kept"


@pytest.mark.parametrize("name", ["b.bin", "..%2Flog.txt", "%2e%2e%2flog.txt", ".hidden", "%00", "%0a"])
def test_nothing_but_what_the_record_names_is_readable(
    client: TestClient, settings: Settings, job_id: str, name: str
) -> None:
    directory = _directory(settings, job_id, 1)
    for path in ("log.txt", "artifacts/b.bin", "artifacts/.hidden"):
        (directory / path).write_text("secret")
    response = client.get(f"/v1/jobs/{job_id}/trials/1/artifacts/{name}")
    assert response.status_code in (404, 422)
    assert "secret" not in response.text


def test_a_link_out_of_the_directory_is_not_followed(client: TestClient, settings: Settings, job_id: str) -> None:
    directory = _directory(settings, job_id, 0)
    (directory / "log.txt").write_text("secret")
    (directory / "artifacts" / "a.bin").symlink_to(directory / "log.txt")
    assert client.get(f"/v1/jobs/{job_id}/trials/0/artifacts/a.bin").status_code == 404


def test_an_artifact_that_is_gone_is_not_found(client: TestClient, job_id: str) -> None:
    assert client.get(f"/v1/jobs/{job_id}/trials/0/artifacts/a.bin").status_code == 404


def test_without_a_completed_trial_there_is_no_best_artifact(client: TestClient, database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
    assert client.get(f"/v1/jobs/{job.id}/best/artifacts/a.bin").status_code == 404


def test_a_log_is_read_whole_or_from_its_end(client: TestClient, settings: Settings, job_id: str) -> None:
    here = f"/v1/jobs/{job_id}/trials/0/log"
    assert client.get(here).text == "", "nothing printed yet"
    (_directory(settings, job_id, 0) / "log.txt").write_bytes(b"one\ntwo\xff\nthree\n")
    assert client.get(here).text == "one\ntwo�\nthree\n"
    assert client.get(here, params={"tail": 1}).text == "three\n"
    assert client.get(here).headers["content-type"].startswith("text/plain")


def test_a_log_is_capped(client: TestClient, settings: Settings, job_id: str) -> None:
    (_directory(settings, job_id, 0) / "log.txt").write_bytes(b"x" * LOG_CAP_BYTES + b"the end")
    text = client.get(f"/v1/jobs/{job_id}/trials/0/log").text
    assert len(text) == LOG_CAP_BYTES
    assert text.endswith("the end")


def test_a_picture_is_looked_at_and_nothing_in_it_runs(
    client: TestClient, settings: Settings, database: Database
) -> None:
    pictures = {
        "a.figure.svg": ("image/svg+xml", b"<svg onload='alert(1)'/>"),
        "b.figure.png": ("image/png", b"\x89PNG"),
    }
    with database.write() as connection:
        job = make_job(connection)
        make_trial(connection, job.id, state=TrialState.COMPLETED, objective=1.0, artifacts=list(pictures))
    for name, (kind, content) in pictures.items():
        (_directory(settings, job.id, 0) / "artifacts" / name).write_bytes(content)
        for path in (f"/v1/jobs/{job.id}/trials/0/artifacts/{name}", f"/v1/jobs/{job.id}/best/artifacts/{name}"):
            response = client.get(path)
            assert (response.status_code, response.content) == (200, content)
            assert response.headers["content-type"] == kind
            assert response.headers["content-disposition"].startswith("inline")
            assert response.headers["content-security-policy"].startswith("default-src 'none'")
            assert response.headers["content-security-policy"].endswith("sandbox")
            assert response.headers["x-content-type-options"] == "nosniff"
