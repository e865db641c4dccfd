"""The command line against the real thing: `stepsize up` with its API, its worker and its slot processes."""

import contextlib
import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import optuna
import psutil
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from stepsize import Client, JobSpec
from tests.postgres import PostgresServer
from tests.waiting import wait_for
from tests.worker_process import wait_until_gone

STEPSIZE = [sys.executable, "-m", "stepsize.cli"]
READY = re.compile(r"Stepsize answers at (http://\S+)")
PATIENCE_S = 60.0
"""Far beyond what anything here takes (a worker is up in two seconds), for machines that do other things too."""
SLOW_JOB = {
    "trainer": {"name": "synthetic", "params": {"n_reports": 3, "step_s": 0.1}},
    "sampler": {"name": "random", "seed": 1},
    "budget": {"max_trials": 500},
}


class Service:
    """A `stepsize up` in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "up.log"
        command = [*STEPSIZE, "up", "--port", "0", "--data-dir", str(folder / "data"), "--slots", "1"]
        with self.log.open("wb") as log:
            # A short lease: a killed worker's job waits for it to run out.
            self.process = psutil.Popen(command, stdout=log, stderr=log, env=environment(STEPSIZE_LEASE_S="2"))
        self.url = self._url_once_ready()

    def workers(self) -> list[psutil.Process]:
        """Return the worker process, if there is one."""
        found: list[psutil.Process] = self.process.children()
        return found

    def run(self, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command against this service."""
        return run(*arguments, server=self.url, stdin=stdin)

    def close(self) -> None:
        """End everything, whatever state it is in."""
        family = [self.process, *self.process.children(recursive=True)] if self.process.is_running() else []
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def _url_once_ready(self) -> str:
        def url() -> str | None:
            assert self.process.poll() is None, self.log.read_text()
            found = READY.search(self.log.read_text())
            return found[1] if found else None

        return wait_for(url, timeout_s=PATIENCE_S) or ""


def environment(**changes: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STEPSIZE_")}
    return clean | changes


def run(
    *arguments: str,
    server: str = "http://127.0.0.1:1",
    stdin: str | None = None,
    data_dir: Path = Path("nowhere"),
    database_url: str = "",
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*STEPSIZE, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=environment(STEPSIZE_SERVER=server, STEPSIZE_DATA_DIR=str(data_dir), STEPSIZE_DATABASE_URL=database_url),
    )


def running_job(service: Service) -> tuple[str, list[psutil.Process]]:
    """Return a job whose trials run and every process below `stepsize up`."""
    job_id = service.run("submit", "-", stdin=json.dumps(SLOW_JOB)).stdout.strip()
    with Client(service.url) as client:
        wait_for(lambda: client.job(job_id).progress.counts["completed"] > 0, timeout_s=PATIENCE_S)
    family = service.process.children(recursive=True)
    assert len(family) >= 2, "a worker and its slot"
    return job_id, family


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that tests share and leave running."""
    shared = Service(tmp_path_factory.mktemp("up"))
    yield shared
    shared.close()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A service for one test to end."""
    own = Service(tmp_path)
    yield own
    own.close()


@pytest.mark.slow
def test_a_client_that_polls_every_few_seconds_keeps_its_connection(service: Service) -> None:
    address = service.url.removeprefix("http://")
    with contextlib.closing(http.client.HTTPConnection(address, timeout=PATIENCE_S)) as connection:
        for pause_s in (0, 6):
            time.sleep(pause_s)
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            connection.auto_open = 0  # a closed connection would be an error from here on


def test_a_job_from_submission_to_its_best_trial(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "{trainer: {name: synthetic, params: {n_reports: 2}}, sampler: {name: tpe, seed: 1}, budget: {max_trials: 20}, "
        "confirm: false}"
    )
    submitted = service.run("submit", str(path), "--wait", "--json")
    assert submitted.returncode == 0, submitted.stderr
    job = json.loads(submitted.stdout)
    assert (job["state"], job["progress"]["total"]) == ("completed", 20)

    trials = json.loads(service.run("trials", job["id"], "--json", "--sort", "values.loss").stdout)
    told = json.loads(service.run("best", job["id"], "--json").stdout)
    (best,) = told["trials"]
    assert len(trials) == 20
    assert best["values"]["loss"] == min(trial["values"]["loss"] for trial in trials) == trials[0]["values"]["loss"]

    limit = trials[9]["params"]["learning_rate"]
    filtered = json.loads(
        service.run("trials", job["id"], "--json", "--filter", f"params.learning_rate>={limit}").stdout
    )
    assert {trial["number"] for trial in filtered} == {
        trial["number"] for trial in trials if trial["params"]["learning_rate"] >= limit
    }
    assert job["id"] in service.run("jobs").stdout


def test_watch_follows_to_the_end_and_again_afterwards(service: Service) -> None:
    short = SLOW_JOB | {"budget": {"max_trials": 3}}
    job_id = service.run("submit", "-", stdin=json.dumps(short)).stdout.strip()
    for _ in range(2):
        watched = service.run("watch", job_id)
        assert watched.returncode == 0, watched.stderr
        assert watched.stdout.splitlines()[-1].startswith("completed 3/3 trials")


def test_a_wrong_job_is_refused_field_by_field(service: Service) -> None:
    wrong = {"trainer": {"name": "synthetic", "params": {"learning_rat": 1}}, "budgets": {}}
    refused = service.run("submit", "-", stdin=json.dumps(wrong))
    assert refused.returncode == 1
    assert "/budgets" in refused.stderr
    assert "budget" in refused.stderr
    assert refused.stdout == ""


def test_controls_reach_a_running_job(service: Service) -> None:
    job_id = service.run("submit", "-", stdin=json.dumps(SLOW_JOB)).stdout.strip()
    with Client(service.url) as client:
        for command, state in [("pause", "paused"), ("resume", "running"), ("stop", "completed")]:
            assert service.run(command, job_id).returncode == 0
            wait_for(lambda state=state: client.job(job_id).state == state)  # type: ignore[misc]
        finished = client.job(job_id)
    assert finished.progress.n_finished < 500
    refused = service.run("resume", job_id)
    assert refused.returncode == 1
    assert "completed" in refused.stderr


def test_ctrl_c_leaves_the_job_running(service: Service) -> None:
    job_id = service.run("submit", "-", stdin=json.dumps(SLOW_JOB)).stdout.strip()
    watch = subprocess.Popen(
        [*STEPSIZE, "watch", job_id], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(STEPSIZE_SERVER=service.url),
    )  # fmt: skip
    assert watch.stdout is not None
    assert watch.stdout.readline(), "it shows something before it is interrupted"
    watch.send_signal(signal.SIGINT)
    _, said = watch.communicate(timeout=PATIENCE_S)
    assert watch.returncode == 1
    assert "goes on" in said
    with Client(service.url) as client:
        assert not client.job(job_id).is_finished
    assert service.run("cancel", job_id).returncode == 0


def test_clients_that_leave_mid_event_leave_no_trace(own_service: Service) -> None:
    job_id, _ = running_job(own_service)
    for _ in range(30):
        with httpx.stream("GET", f"{own_service.url}/v1/jobs/{job_id}/events", timeout=PATIENCE_S) as stream:
            next(stream.iter_raw(1))
    own_service.process.terminate()
    assert own_service.process.wait(20) == 0
    assert "Traceback" not in own_service.log.read_text()


def test_a_worker_without_tables_says_what_to_do(tmp_path: Path) -> None:
    refused = run("worker", data_dir=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines() == [
        "stepsize: the database's tables are missing or of another version; run `stepsize migrate`"
    ]


def test_migrate_can_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        assert run("migrate", data_dir=tmp_path / "new").returncode == 0
    assert (tmp_path / "new" / "stepsize.db").exists()


def test_an_unreachable_database_is_no_traceback(tmp_path: Path) -> None:
    lost = run("migrate", data_dir=tmp_path, database_url="postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    assert lost.returncode == 1
    assert "Connection refused" in lost.stderr
    assert "Traceback" not in lost.stderr


def test_a_data_directory_that_can_not_be_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    commands = [["up", "--port", "0"], ["api", "--port", "0"], ["worker"], ["migrate"]]
    for command, path in zip(commands, [file, file / "below"] * 2, strict=True):
        refused = run(*command, data_dir=path)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert f"the data directory {path}" in line
        assert "--data-dir or STEPSIZE_DATA_DIR" in line


def test_a_database_of_a_later_version_is_one_line_that_says_which_is_needed(tmp_path: Path) -> None:
    assert run("migrate", data_dir=tmp_path).returncode == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "stepsize.db")) as database, database:
        database.execute("UPDATE stepsize_alembic_version SET version_num = '0042'")
        database.execute("INSERT INTO stepsize_releases VALUES ('0042', '7.1.0')")

    for command in (["up", "--port", "0"], ["worker"], ["migrate"]):
        refused = run(*command, data_dir=tmp_path)
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert "revision 0042" in line
        assert "Stepsize 7.1.0 or later" in line


@pytest.mark.slow
def test_a_worker_waits_for_a_database_that_is_away_and_says_so_in_few_lines(
    tmp_path: Path, restartable_postgres: PostgresServer
) -> None:
    url = restartable_postgres.create_database("waited_for")
    assert run("migrate", data_dir=tmp_path, database_url=url).returncode == 0
    restartable_postgres.stop()
    log = tmp_path / "worker.log"
    settings = environment(STEPSIZE_DATABASE_URL=url, STEPSIZE_DATA_DIR=str(tmp_path))
    with log.open("wb") as written:
        worker = psutil.Popen([*STEPSIZE, "worker", "--slots", "1"], stderr=written, env=settings)
    try:
        wait_for(lambda: "trying again until it does" in log.read_text(), timeout_s=PATIENCE_S)
        time.sleep(4)  # several attempts
        assert worker.poll() is None
        assert len(log.read_text().splitlines()) <= 3
        restartable_postgres.start()
        wait_for(lambda: "worker ready" in log.read_text(), timeout_s=PATIENCE_S)
    finally:
        worker.terminate()
        code = worker.wait(PATIENCE_S)
    assert code == 0


def test_a_taken_port_is_named(service: Service, tmp_path: Path) -> None:
    port = service.url.rpartition(":")[2]
    taken = run("up", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert taken.returncode == 1
    assert re.search(rf"can't listen on 127\.0\.0\.1 port {port}: Address already in use", taken.stderr)
    assert not (tmp_path / "data").exists(), "nothing is touched before the port is ours"


def test_an_absent_service_is_said_in_one_line() -> None:
    absent = run("jobs")
    assert absent.returncode == 1
    assert len(absent.stderr.splitlines()) == 1
    assert "stepsize up" in absent.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_it_in_order_even_under_an_open_stream(
    own_service: Service, signum: signal.Signals
) -> None:
    job_id, family = running_job(own_service)
    with httpx.stream("GET", f"{own_service.url}/v1/jobs/{job_id}/events", timeout=PATIENCE_S) as stream:
        chunks = stream.iter_bytes()  # kept: without a reader httpx closes the connection
        next(chunks)
        own_service.process.send_signal(signum)
        # 20 s: three for open requests, fifteen for the worker, and the machine's own slowness.
        assert own_service.process.wait(20) == 0, own_service.log.read_text()
    assert not wait_until_gone(family, timeout_s=1)
    assert "Traceback" not in own_service.log.read_text()


def test_a_worker_that_dies_is_replaced_and_the_job_goes_on(own_service: Service) -> None:
    short = SLOW_JOB | {"budget": {"max_trials": 5}}
    job_id = own_service.run("submit", "-", stdin=json.dumps(short)).stdout.strip()
    (first,) = own_service.workers()
    with Client(own_service.url) as client:
        wait_for(lambda: client.job(job_id).progress.total > 0)
        first.kill()
        job = client.wait(job_id)
    assert (job.state, job.progress.counts["completed"]) == ("completed", 5)
    assert first.pid not in [worker.pid for worker in own_service.workers()]


@pytest.mark.slow
def test_a_job_whose_only_worker_was_killed_says_so_until_another_goes_on_with_it(tmp_path: Path) -> None:
    settings = environment(STEPSIZE_DATA_DIR=str(tmp_path), STEPSIZE_LEASE_S="1")
    subprocess.run([*STEPSIZE, "migrate"], env=settings, check=True)
    log = tmp_path / "api.log"
    with log.open("wb") as written:
        api = psutil.Popen([*STEPSIZE, "api", "--port", "0"], stdout=written, stderr=written, env=settings)
    worker = psutil.Popen([*STEPSIZE, "worker", "--slots", "1"], env=settings)
    try:
        url = (
            wait_for(lambda: found[1] if (found := READY.search(log.read_text())) else None, timeout_s=PATIENCE_S) or ""
        )
        job_id = run("submit", "-", server=url, stdin=json.dumps(SLOW_JOB)).stdout.strip()
        with Client(url) as client:
            wait_for(lambda: client.job(job_id).progress.counts["completed"] > 0, timeout_s=PATIENCE_S)
            worker.kill()
            wait_for(lambda: client.job(job_id).reason == "no_worker", timeout_s=PATIENCE_S)
            job = client.job(job_id)
            assert (job.state, job.progress.limited_by) == ("running", None)
            assert "no worker has it since" in (job.advice or "")
            assert "no worker has it since" in run("jobs", server=url).stderr
            worker.wait()
            worker = psutil.Popen([*STEPSIZE, "worker", "--slots", "1"], env=settings)
            wait_for(lambda: client.job(job_id).advice is None, timeout_s=PATIENCE_S)
            n_before = client.job(job_id).progress.counts["completed"]
            wait_for(lambda: client.job(job_id).progress.counts["completed"] > n_before, timeout_s=PATIENCE_S)
    finally:
        for process in (worker, api):
            process.kill()
            process.wait()


def test_kill_9_of_up_leaves_no_process_behind(own_service: Service) -> None:
    _, family = running_job(own_service)
    own_service.process.kill()
    # The kernel tells the worker at once; 5 s for a busy machine to run what it does then.
    assert not wait_until_gone(family, timeout_s=5)


@pytest.mark.slow
def test_a_study_of_optuna_becomes_a_job_and_teaches_the_next(service: Service, tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = tmp_path / "journal"
    study = optuna.create_study(study_name="old", storage=JournalStorage(JournalFileBackend(str(path))))
    ends = (0.5, 0.25, None)
    for value in ends:
        trial = study.ask()
        trial.suggest_float("learning_rate", 1e-3, 1.0, log=True)
        trial.report(1.0, 0)
        study.tell(trial, value, state=None if value else optuna.trial.TrialState.PRUNED)
    next_job = tmp_path / "next.json"
    next_job.write_text(json.dumps({"trainer": {"name": "synthetic"}, "budget": {"max_trials": 1}}))

    done = service.run("import", "optuna", str(path), "--metric", "loss", "--warm-start", str(next_job))

    assert done.returncode == 0, done.stderr
    with Client(service.url) as client:
        job = client.job(done.stdout.strip())
        (history,) = JobSpec.model_validate(job.spec).warm_start.jobs  # type: ignore[union-attr]
        trials = list(client.trials(history))
        assert client.job(history).state == "completed"
        assert client.job(history).spec["seeds"] == "unknown"
        assert "training seeds; say --seeds fresh" in done.stderr
        assert [trial.params for trial in trials] == [trial.params for trial in study.trials]
        assert [trial.state for trial in trials] == ["completed", "completed", "pruned"]
        assert [trial.values["loss"] for trial in trials] == [0.5, 0.25, 1.0]
        assert client.wait(job.id, timeout=PATIENCE_S).state == "completed"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_output_that_finds_no_room_is_told(tmp_path: Path) -> None:
    search_space = {"lr": {"min": 0.1, "max": 1.0}}
    sweep = {"method": "random", "metric": {"name": "loss", "goal": "minimize"}, "parameters": search_space}
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))
    with Path("/dev/full").open("w") as full:
        told = subprocess.run(
            [*STEPSIZE, "convert", tmp_path / "sweep.yaml"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert told.returncode == 1
    assert told.stderr.splitlines()[-1] == "stepsize: the output can't be written: no space is left where it goes"
