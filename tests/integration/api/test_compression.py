"""Compressed answers: who gets which, and that they say the same."""

import gzip
import zlib
from collections.abc import Mapping

import brotli
import pytest
from starlette.testclient import TestClient

from stepsize.api.negotiation import preferred_encoding
from stepsize.api.routes.dashboard import load_bundle
from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from tests.builders import make_job, make_trial


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", None),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0.1, gzip", "gzip"),
        ("br;q=0, *", "gzip"),
        ("*", "br"),
        ("identity", None),
        ("gzip;q=0", None),
    ],
)
def test_the_coding_liked_best_is_chosen(accepted: str, expected: str | None) -> None:
    assert preferred_encoding(accepted, ["br", "gzip"]) == expected


def _raw(client: TestClient, path: str, accepted: str) -> tuple[Mapping[str, str], bytes]:
    with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as response:
        return response.headers, b"".join(response.iter_raw())


def _job(database: Database, *, n_trials: int) -> str:
    with database.write() as connection:
        job_id = make_job(connection).id
        for number in range(n_trials):
            make_trial(connection, job_id, state=TrialState.COMPLETED, objective=float(number))
    return job_id


@pytest.mark.parametrize("path", ["/v1/jobs/JOB/trials", "/v1/jobs/JOB/export?format=csv", "/openapi.json", "/"])
def test_text_is_the_same_compressed_or_not(client: TestClient, database: Database, path: str) -> None:
    path = path.replace("JOB", _job(database, n_trials=20))
    plain, body = _raw(client, path, "identity")
    zipped, gzipped = _raw(client, path, "gzip")
    smaller, brotlied = _raw(client, path, "gzip, deflate, br")
    assert [one.get("content-encoding") for one in (plain, zipped, smaller)] == [None, "gzip", "br"]
    assert gzip.decompress(gzipped) == brotli.decompress(brotlied) == body
    assert max(len(gzipped), len(brotlied)) < 0.6 * len(body)
    for one in (plain, zipped, smaller):
        assert "Accept-Encoding" in one["vary"]
    # Weak or none: a strong tag would promise the same bytes whatever the coding.
    assert all((one.get("etag") or "W/").startswith("W/") for one in (zipped, smaller))


def test_a_tag_holds_whatever_the_coding(client: TestClient, database: Database) -> None:
    path = f"/v1/jobs/{_job(database, n_trials=20)}/trials"
    tag = client.get(path, headers={"Accept-Encoding": "br"}).headers["etag"]
    again = client.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_what_is_small_or_no_text_goes_as_it_is(client: TestClient) -> None:
    for path in ("/healthz", "/v1/jobs/none"):
        assert "content-encoding" not in client.get(path).headers
    asset = f"/dashboard/{load_bundle().digest}/"
    (font, *_) = [path for path in load_bundle().files if path.endswith(".woff2")]
    assert "content-encoding" not in client.get(asset + font).headers
    assert client.get(asset + "main.js").headers["content-encoding"] in ("br", "gzip")


def test_a_long_export_is_compressed_as_it_goes(client: TestClient, database: Database) -> None:
    job_id = _job(database, n_trials=600)
    headers, body = _raw(client, f"/v1/jobs/{job_id}/export?format=jsonl", "gzip")
    assert "content-length" not in headers
    assert zlib.decompress(body, wbits=31).count(b"\n") == 600
