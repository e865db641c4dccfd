"""A disk that is full or may not be written: said at once, with what to do, and all goes on when it is mended."""

import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from stepsize.api.app import create_app
from stepsize.settings import Settings
from stepsize.store import migrate
from stepsize.store.database import Database, DatabaseError, StorageTrouble, is_transient, storage_trouble
from stepsize.store.leases import Offer
from stepsize.store.workers import list_workers, register_worker
from stepsize_workers.desk import Desk
from stepsize_workers.lease import LeaseKeeper
from stepsize_workers.site import Site
from tests.builders import make_job, make_worker
from tests.fake_engine import FakeEngine

JOB = {"trainer": {"name": "synthetic"}}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB that can be filled, mounted read-only, and mended."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a disk needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def settings(small_disk: Path) -> Settings:
    made = Settings(data_dir=small_disk, database_url=f"sqlite:///{small_disk / 'stepsize.db'}")
    migrate.upgrade(made.url)
    return made


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_a_full_disk_is_507_and_not_ready_until_there_is_room(settings: Settings, small_disk: Path) -> None:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        assert client.post("/v1/jobs", json=JOB).status_code == 201
        filler = _fill(small_disk)
        answers = [client.post("/v1/jobs", json=JOB) for _ in range(60)]  # what SQLite's log had room for is recorded
        refused = answers[-1]
        assert {one.status_code for one in answers} <= {201, 507}
        assert refused.status_code == 507
        assert "full" in refused.json()["detail"]
        assert client.get("/v1/jobs").status_code == 200
        assert (client.get("/readyz").status_code, client.get("/readyz").json()["title"]) == (503, "Storage full")
        filler.unlink()
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/jobs", json=JOB).status_code == 201


def test_an_upload_that_finds_no_room_is_507(settings: Settings, small_disk: Path) -> None:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        upload = "/v1/datasets?name=x&format=csv"
        filler = _fill(small_disk)
        refused = client.post(upload, content=b"a,label\n1,x\n2,y\n" * 10_000)
        assert (refused.status_code, refused.json()["title"]) == (507, "Storage full")
        assert "the disk of the data directory is full" in refused.json()["detail"]
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        refused = client.post(upload, content=b"a,label\n1,x\n2,y\n")
        assert (refused.status_code, refused.json()["title"]) == (503, "Storage not writable")


def test_a_disk_that_may_not_be_written_is_503_at_once(settings: Settings, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        begun = time.monotonic()
        refused, ready = client.post("/v1/jobs", json=JOB), client.get("/readyz")
        assert time.monotonic() - begun < 5  # it was 50 s: the write-ahead log was waited for as if it were locked
    assert (refused.status_code, ready.status_code) == (503, 503)
    assert refused.json()["title"] == ready.json()["title"] == "Storage not writable"


def test_a_worker_waits_for_a_disk_with_room(settings: Settings, small_disk: Path) -> None:
    database = Database(settings.url)
    mended = threading.Timer(1.0, _fill(small_disk).unlink)
    mended.start()
    site = Site(database, None, "worker-1", small_disk)  # type: ignore[arg-type]  # no engine is asked
    begun = time.monotonic()
    site.write(lambda connection: register_worker(connection, make_worker(version="x" * 100_000)))
    assert time.monotonic() - begun > 0.9
    with database.read() as connection:
        assert [worker.id for worker in list_workers(connection, lease_s=30)] == ["worker-1"]
    database.dispose()


def test_a_worker_that_can_claim_nothing_on_a_full_disk_says_so_in_few_lines(
    settings: Settings, small_disk: Path
) -> None:
    database, engine = Database(settings.url), FakeEngine(lambda params: iter(()))
    site = Site(database, engine, "worker-1", small_disk)
    keeper = LeaseKeeper(database, worker_id="worker-1", lease_s=30, on_loss=engine.wake, on_death=engine.wake)
    desk = Desk(site, keeper, Offer((("synthetic", "1"),), gpus=0, cpus=4), lease_s=30)
    with database.write() as connection:
        make_job(connection)
    filler = _fill(small_disk)
    _use_up_the_log(database)
    with capture_logs() as said:
        for _ in range(20):
            desk.look()
            desk.assign()
    assert {line["event"] for line in said} == {"database away, trying again"}  # it was "back" each time it was read
    assert len(said) < 8  # in pauses that double
    filler.unlink()
    with capture_logs() as said:
        desk.look()
        desk.assign()
    assert [line["event"] for line in said][:2] == ["database back", "job claimed"]
    database.dispose()


def _use_up_the_log(database: Database) -> None:
    """Write until SQLite's log has no room either."""
    with suppress(OperationalError):
        while True:
            with database.write() as connection:
                register_worker(connection, make_worker(version="x" * 10_000))


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        (sqlite3.SQLITE_FULL, StorageTrouble.FULL),
        (sqlite3.SQLITE_IOERR | (3 << 8), StorageTrouble.FULL),
        (sqlite3.SQLITE_READONLY, StorageTrouble.UNWRITABLE),
        (sqlite3.SQLITE_CANTOPEN, StorageTrouble.UNWRITABLE),
        (sqlite3.SQLITE_ERROR, None),
    ],
)
def test_sqlites_codes_tell_what_is_wrong(code: int, trouble: StorageTrouble | None) -> None:
    orig = sqlite3.OperationalError("…")
    orig.sqlite_errorcode = code
    error: DatabaseError = OperationalError("SELECT", {}, orig)
    assert storage_trouble(error) is trouble
    assert is_transient(error) is (trouble is not None)


def test_a_file_that_may_not_be_written_is_noticed(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    path = tmp_path / "stepsize.db"
    path.touch(mode=0o400)
    assert Database(f"sqlite:///{path}").trouble() is StorageTrouble.UNWRITABLE
