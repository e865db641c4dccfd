"""What trials came from: kept once, told by trial and by job, exported, and warned of where it differs."""

import json

from sqlalchemy import func, select
from starlette.testclient import TestClient

from stepsize.domain.provenance import differs
from stepsize.spec.provenance import Provenance
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


def test_exports_name_it(client: TestClient, database: Database) -> None:
    job_id = _trained(database, OLD, NEW)
    lines = client.get(f"/v1/jobs/{job_id}/export", params={"format": "jsonl"}).text.splitlines()
    assert [json.loads(line)["provenance"] for line in lines] == [OLD.id, NEW.id]
