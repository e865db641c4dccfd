"""What trials came from: kept once, told by trial and by job, exported, and warned of where it differs."""

import csv
import io
import json

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from stepsize.domain.provenance import differs
from stepsize.spec.provenance import Provenance
from stepsize.store import exports
from stepsize.store.database import Database
from stepsize.store.evidence import load_evidence
from stepsize.store.ledger import open_ledger
from stepsize.store.models import provenances
from tests.builders import make_job, make_trial

OLD = Provenance(trainer="mine", packages={"torch": "2.12.0", "numpy": "2.4.6"}, device="a GPU")
NEW = Provenance(trainer="mine", packages={"torch": "2.13.0", "numpy": "2.4.6"}, device="a GPU")


def _trained(database: Database, *origins: Provenance) -> str:
    """Record a job with a trial from each of these."""
    with database.write() as connection:
        job_id = make_job(connection).id
        for origin in origins:
            trial = make_trial(connection, job_id)
            with open_ledger(connection, job_id) as ledger:
                ledger.touch_trial(trial.number, provenance=ledger.note_provenance(origin))
    return job_id


def test_alike_trials_share_one_record_and_nothing_is_warned_of(client: TestClient, database: Database) -> None:
    job_ids = [_trained(database, OLD, OLD), _trained(database, OLD)]
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(provenances)) == 1
    found = client.get(f"/v1/jobs/{job_ids[0]}/provenance").json()
    assert [(item["id"], item["n_trials"], item["first_trial"]) for item in found["items"]] == [(OLD.id, 2, 0)]
    assert found["items"][0]["provenance"] == OLD.model_dump(mode="json")
    assert found["differences"] == {}
    assert client.get(f"/v1/jobs/{job_ids[0]}").json()["warnings"] == []


def test_a_job_whose_trials_differ_says_in_what(client: TestClient, database: Database) -> None:
    job_id = _trained(database, OLD, OLD, NEW)
    assert client.get(f"/v1/jobs/{job_id}/trials/2").json()["provenance"] == NEW.id
    found = client.get(f"/v1/jobs/{job_id}/provenance").json()
    assert [item["n_trials"] for item in found["items"]] == [2, 1]
    assert found["differences"] == {"packages.torch": ["2.12.0", "2.13.0"]}
    (warning,) = client.get(f"/v1/jobs/{job_id}").json()["warnings"]
    assert "torch 2.12.0 and 2.13.0" in warning
    with database.read() as connection:
        assert load_evidence(connection, job_id).provenance_warning == warning == differs([OLD, NEW])


def test_exports_have_it_whole(client: TestClient, database: Database) -> None:
    jax = Provenance(trainer="mine", packages={"jax": "0.7.2"}, git_commit="4f1c2b3", git_dirty=True)
    job_id = _trained(database, OLD, NEW, jax)
    with database.write() as connection:
        make_trial(connection, job_id)
    lines = client.get(f"/v1/jobs/{job_id}/export", params={"format": "jsonl"}).text.splitlines()
    found = [json.loads(line) for line in lines]
    assert [one["provenance"] for one in found] == [OLD.id, NEW.id, jax.id, None]
    packages = [one.model_dump(mode="json") for one in (OLD, NEW, jax)]
    assert [one["ran_with"] for one in found] == [*packages, None]
    rows = list(csv.DictReader(io.StringIO(client.get(f"/v1/jobs/{job_id}/export").text)))
    assert [row["ran_with.packages.torch"] for row in rows] == ["2.12.0", "2.13.0", "", ""]
    assert [row["ran_with.packages.jax"] for row in rows] == ["", "", "0.7.2", ""]
    assert [row["ran_with.git_commit"] for row in rows] == ["", "", "4f1c2b3", ""]
    assert [row["ran_with.git_dirty"] for row in rows] == ["", "", "True", ""]
    assert [row["ran_with.device"] for row in rows] == ["a GPU", "a GPU", "", ""]


def test_a_package_that_comes_up_late_has_its_column_too(
    client: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_TRIALS_AT_ONCE", 2)  # the header is written before the second chunk is read
    late = Provenance(trainer="mine", packages={"jax": "0.7.2"})
    job_id = _trained(database, OLD, OLD, late)
    rows = list(csv.DictReader(io.StringIO(client.get(f"/v1/jobs/{job_id}/export").text)))
    assert [row["ran_with.packages.jax"] for row in rows if row["ran_with.packages.jax"]] == ["0.7.2"]
