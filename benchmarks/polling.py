"""What polling costs the API, with optuna-dashboard's server on the same study beside it where it has the like.

`make bench-polling` prints a table, target and measured, and one JSON line. Costs are CPU time of the API's process, so
a busy machine distorts them less than latencies; the load of the machine is printed with them, before and after.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import optuna
import psutil
from optuna.storages import RDBStorage

from benchmarks.history import add_history
from benchmarks.orchestration import print_table, spec_of, submit
from benchmarks.raw_http import RawClient
from benchmarks.suggestions import (
    add_optuna_history,
    free_port,
    measure_optuna,
    measure_stepsize,
    serving,
    vacuum,
)
from stepsize.domain.job import JobState
from stepsize.domain.trial import Report, TrialState
from stepsize.store import migrate
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.ledger import NewTrial, open_ledger
from tests.builders import make_job
from tests.postgres import PostgresServer
from tests.worker_process import WorkerProcess

N_POLLERS = 100
N_STREAMS = 20
N_LOOKERS = 8
LOAD_S = 12.0
N_ASKS = 40
N_JOBS, N_RUNNING = 1_000, 17
"""Jobs in a list, and how many of them run."""


@dataclass(frozen=True)
class Row:
    """One line of the table; `target` is the most it may be (or, with a rate, the least)."""

    what: str
    database: str
    target: str
    measured: str
    value: float
    beside: str = ""


@dataclass(frozen=True)
class Service:
    """A running API, and what is measured of it."""

    client: httpx.Client
    process: psutil.Process

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def cost_ms(
        self,
        path: str,
        *,
        n: int,
        headers: dict[str, str] | None = None,
        n_before: int = 5,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> float:
        """Return milliseconds of the API's CPU a request, the first `n_before` left out.

        Args:
            meanwhile: done before each request.
        """
        for _ in range(n_before):
            self.client.get(path, headers=headers)
        before = self.cpu_s()
        for _ in range(n):
            meanwhile()
            response = self.client.get(path, headers=headers)
            assert response.status_code in (200, 304), response.text
        return 1000 * (self.cpu_s() - before) / n

    def memory_mib(self) -> float:
        return float(self.process.memory_info().rss / 2**20)


@contextmanager
def running(url: str, work: Path) -> Iterator[Service]:
    with serving(url, work) as (client, pid):
        yield Service(client, psutil.Process(pid))


def make_running_job(database: Database, *, n_trials: int, n_reports: int) -> str:
    """Record a job with a past that is running, though no worker has it."""
    job_id = submit(database, spec_of("random", n_trials=2 * n_trials + 1000))
    add_history(database, job_id, n_trials=n_trials, n_reports=n_reports)
    with database.write() as connection, open_ledger(connection, job_id) as ledger:
        ledger.move_job(JobState.RUNNING)
    if database.is_postgresql:
        vacuum(database.engine)
    return job_id


# -- single requests --------------------------------------------------------------------------------------------------


def measure_requests(
    service: Service, database: Database, kind: str, job_id: str, n_trials: int, beside: dict[str, str]
) -> Iterator[Row]:
    """What one request costs."""

    def change() -> None:
        with database.write() as connection, open_ledger(connection, job_id):
            pass

    floor = service.cost_ms("/healthz", n=200)
    yield Row("/healthz, which reads nothing", kind, "", f"{floor:.2f} ms", floor)
    path = f"/v1/jobs/{job_id}"
    tag = service.client.get(path).headers["ETag"]
    page_ms = 10 if n_trials <= 10_000 else 25
    requests: list[tuple[str, str, dict[str, str], int, float]] = [
        ("job", path, {}, 200, 2.0),
        ("job, changed since", path, {}, 200, 2.0),
        ("job, answered 304", path, {"If-None-Match": tag}, 200, 1.0),
        ("50 trials sorted by a value", f"{path}/trials?sort=-values.loss", {}, 40, page_ms),
        ("50 trials sorted by a parameter", f"{path}/trials?sort=params.learning_rate", {}, 40, page_ms),
        ("50 trials filtered", f"{path}/trials?filter=values.loss<0.011&filter=params.batch_size=64", {}, 40, page_ms),
    ]
    for what, address, headers, n, most in requests:
        changing = change if what == "job, changed since" else lambda: None
        cost = service.cost_ms(address, n=n, headers=headers, meanwhile=changing)
        name = f"{what}, {n_trials:,} trials"
        yield Row(name, kind, f"<= {most:g} ms", f"{cost:.2f} ms", cost, beside.get(what, ""))


# -- a crowd ----------------------------------------------------------------------------------------------------------


@contextmanager
def working(database: Database, job_id: str, *, per_s: float) -> Iterator[list[int]]:
    """Play the job's worker: a commit each time, a report in most, a trial's end and the next one's start in some."""
    stop, commits = threading.Event(), [0]

    def play() -> None:
        with database.read() as connection:
            number = get_job(connection, job_id).n_trials
        step = 0
        while not stop.wait(1 / per_s):
            with database.write() as connection, open_ledger(connection, job_id) as ledger:
                params = {"learning_rate": 0.01, "batch_size": 64}
                if step == 0:
                    ledger.insert_trials([NewTrial(number, TrialState.RUNNING, params, seed=0, worker="bench")])
                step += 1
                values = {"loss": 1.0 / step}
                ledger.add_reports([Report(number, step, values, 0.1 * step)])
                if step < 5:
                    ledger.touch_trial(number, values=values, step=step)
                else:
                    running, completed = TrialState.RUNNING, TrialState.COMPLETED
                    ledger.move_trial(number, running, completed, values=values, objective=0.2, step=step)
                    number, step = number + 1, 0
            commits[0] += 1

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield commits
    finally:
        stop.set()
        thread.join()


@dataclass
class Crowd:
    """What many clients saw."""

    latencies_ms: list[float]
    n_stream_bytes: int = 0


async def crowd(url: str, job_id: str, *, n_pollers: int, n_streams: int, pages: bool, seconds: float) -> Crowd:
    """Poll once a second each while streams are open, and look at pages and curves now and then, not all at once."""
    seen, path = Crowd([]), f"/v1/jobs/{job_id}"
    loop = asyncio.get_running_loop()
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, limits=limits) as client:

        async def poll(index: int) -> None:
            await asyncio.sleep(index / n_pollers)
            poller = await RawClient.connect(url)
            while loop.time() < end:
                begun = loop.time()
                await poller.get(path)
                seen.latencies_ms.append(1000 * (loop.time() - begun))
                await asyncio.sleep(max(0.0, 1 - (loop.time() - begun)))
            poller.close()

        async def look(index: int) -> None:
            addresses = ("/trials?sort=-values.loss", "/trials?filter=values.loss<0.02", "/curves", "/history")
            await asyncio.sleep(index * 1.5 / N_LOOKERS)
            while loop.time() < end:
                (await client.get(path + addresses[index % len(addresses)])).raise_for_status()
                await asyncio.sleep(1.5)

        async def listen() -> None:
            async with client.stream("GET", f"{path}/events") as response:
                opened.release()
                async for chunk in response.aiter_raw():
                    seen.n_stream_bytes += len(chunk)

        opened = asyncio.Semaphore(0)
        streams = [asyncio.create_task(listen()) for _ in range(n_streams)]
        for _ in streams:
            await opened.acquire()
        end = loop.time() + seconds
        await asyncio.gather(*map(poll, range(n_pollers)), *(look(index) for index in range(N_LOOKERS if pages else 0)))
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    return seen


def measure_crowd(service: Service, database: Database, kind: str, job_id: str) -> Iterator[Row]:
    url = str(service.client.base_url)
    with working(database, job_id, per_s=10):
        asyncio.run(crowd(url, job_id, n_pollers=10, n_streams=1, pages=True, seconds=3))  # the first ones read it all
        before, begun = service.cpu_s(), time.monotonic()
        coming = crowd(url, job_id, n_pollers=N_POLLERS, n_streams=N_STREAMS, pages=True, seconds=LOAD_S)
        seen = asyncio.run(coming)
        share = (service.cpu_s() - before) / (time.monotonic() - begun)
    ordered = sorted(seen.latencies_ms)
    p50, p99 = statistics.median(ordered), ordered[int(0.99 * len(ordered))]
    what = f"{N_POLLERS} pollers, {N_STREAMS} streams, pages and curves: p99 of a poll"
    yield Row(what, kind, "< 50 ms", f"{p99:.1f} ms (p50 {p50:.1f}; {100 * share:.0f} % of a core)", p99)
    per_stream = seen.n_stream_bytes / N_STREAMS / LOAD_S
    yield Row("a stream at 10 updates a second", kind, "in proportion", f"{per_stream / 1000:.1f} KB/s", per_stream)


def measure_page(service: Service, database: Database, kind: str, job_id: str) -> Iterator[Row]:
    """What one open job page costs: its stream, and its pictures read again every 1.5 s."""
    url, path = str(service.client.base_url), f"/v1/jobs/{job_id}"
    pictures = (f"{path}/history?max_points=1000", f"{path}/curves?metric=loss&pick=latest&max_points=60")

    async def look() -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:

            async def listen() -> None:
                async with client.stream("GET", f"{path}/events") as response:
                    async for _ in response.aiter_raw():
                        pass

            stream = asyncio.create_task(listen())
            for _ in range(int(LOAD_S / 1.5)):
                for picture in pictures:
                    (await client.get(picture)).raise_for_status()
                await asyncio.sleep(1.5)
            stream.cancel()
            await asyncio.gather(stream, return_exceptions=True)

    with working(database, job_id, per_s=10) as commits:
        before, begun = service.cpu_s(), time.monotonic()
        asyncio.run(look())
        seconds = time.monotonic() - begun
        share = 100 * (service.cpu_s() - before) / seconds
        rate = commits[0] / seconds
    yield Row("one open job page, share of a core", kind, "< 3 %", f"{share:.1f} % at {rate:.1f} updates/s", share)


def measure_fresh_stream(service: Service, kind: str, job_id: str) -> Row:
    """Bytes of a stream that has just begun."""
    n_bytes = 0
    with service.client.stream("GET", f"/v1/jobs/{job_id}/events", timeout=2) as response:
        try:
            for chunk in response.iter_raw():
                n_bytes += len(chunk)
        except httpx.ReadTimeout:
            pass
    return Row("a fresh stream of an idle job", kind, "begins with now", f"{n_bytes / 1000:.2f} KB", n_bytes)


def measure_list(service: Service, database: Database, kind: str) -> Row:
    """Bytes that tell a page of 1,000 jobs, of which some run, what has changed."""
    with database.write() as connection:
        ids = [make_job(connection, state=JobState.RUNNING).id for _ in range(N_JOBS)]
    sizes: list[int] = []
    draw = random.Random(0)

    async def listen() -> None:
        async with (
            httpx.AsyncClient(base_url=str(service.client.base_url), trust_env=False, timeout=30) as client,
            client.stream("GET", "/v1/events") as response,
        ):
            async for chunk in response.aiter_raw():
                sizes.append(len(chunk))

    async def play() -> None:
        listener = asyncio.create_task(listen())
        await asyncio.sleep(2)
        sizes.clear()
        for number in range(5):
            for job_id in ids[:N_RUNNING]:
                params, loss = {"learning_rate": draw.random(), "batch_size": 64}, draw.random() / (number + 1)
                with database.write() as connection, open_ledger(connection, job_id) as ledger:
                    ledger.insert_trials([NewTrial(number, TrialState.RUNNING, params, seed=0, worker="bench")])
                    ledger.move_trial(
                        number, TrialState.RUNNING, TrialState.COMPLETED, values={"loss": loss}, objective=loss
                    )
            await asyncio.sleep(2)
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)

    asyncio.run(play())
    each = sum(sizes) / 5
    what = f"a list of {N_JOBS:,} jobs, {N_RUNNING} running: an update"
    return Row(what, kind, "< 2 KB", f"{each / 1000:.2f} KB", each)


def measure_assets(service: Service) -> Row:
    """What the page loads, as a browser takes it."""
    page = service.client.get("/", headers={"Accept-Encoding": "gzip, br"})
    paths = sorted(set(re.findall(r'(?:href|src)="(/dashboard/[^"]+)"', page.text)))
    answers = [service.client.get(path, headers={"Accept-Encoding": "gzip, br"}) for path in paths]
    texts = [answer for answer in answers if not answer.headers["content-type"].startswith("font/")]
    n_compressed = sum("content-encoding" in answer.headers for answer in [page, *texts])
    measured = f"{n_compressed} of {len(texts) + 1} text answers; {len(paths) + 1} requests"
    return Row("the page and its files, compressed", "", "all", measured, n_compressed)


# -- ask and tell -----------------------------------------------------------------------------------------------------


def measure_askers(url: str, work: Path, kind: str, sampler: str, *, n_clients: int, own_rate: float) -> Row:
    """Many clients that ask, tell and ask again without training."""
    with running(url, work) as service, WorkerProcess(url, work, slots=1, lease_s=30.0) as worker:
        spec = {
            "engine": "external",
            "search_space": spec_of("random", n_trials=1).model_dump(mode="json")["search_space"],
            "objectives": [{"metric": "loss", "direction": "minimize"}],
            "sampler": {"name": sampler, "seed": 0},
            "confirm": False,
            "budget": {"max_trials": 100_000},
        }
        job_id = service.client.post("/v1/jobs", json=spec).raise_for_status().json()["id"]
        base = str(service.client.base_url)
        asyncio.run(ask_for(base, job_id, n_clients=1, seconds=0.1, wait_s=60))  # until the worker is there
        waits, n_told, seconds = asyncio.run(ask_for(base, job_id, n_clients=n_clients, seconds=LOAD_S))
        worker.stop()
    ordered = sorted(waits)
    p50, p99 = statistics.median(ordered), ordered[int(0.99 * len(ordered))]
    rate = n_told / seconds
    measured = f"p50 {p50:.2f} s, p99 {p99:.2f} s, {rate:.0f} trials/s"
    if sampler == "random":
        return Row(f"{n_clients} ask/tell clients, random: p99 of an ask", kind, "< 1 s", measured, p99)
    ratio = rate / own_rate
    what = f"{n_clients} ask/tell clients, {sampler}: rate beside the sampler's own"
    return Row(what, kind, ">= 0.8", f"{ratio:.2f} ({measured}; alone {own_rate:.0f}/s)", ratio)


async def ask_for(
    url: str, job_id: str, *, n_clients: int, seconds: float, wait_s: float = 5
) -> tuple[list[float], int, float]:
    """Return how long each ask waited, how many trials were told, and in what time."""
    loop, path = asyncio.get_running_loop(), f"/v1/jobs/{job_id}"
    waits: list[float] = []
    n_told, begun = 0, loop.time()

    async def run(name: str) -> None:
        nonlocal n_told
        client = await RawClient.connect(url)
        while loop.time() < begun + seconds:
            asked = loop.time()
            answer = await client.post(f"{path}/suggestions", {"client_id": name, "wait_s": wait_s})
            waits.append(loop.time() - asked)
            for trial in json.loads(answer)["trials"]:
                values = {"loss": trial["params"]["learning_rate"]}
                told = {"lease_token": trial["lease"]["token"], "values": values}
                await client.post(f"{path}/trials/{trial['number']}/complete", told)
                n_told += 1
        client.close()

    await asyncio.gather(*(run(f"client-{index}") for index in range(n_clients)))
    return waits, n_told, loop.time() - begun


def measure_back_to_back(new_url: Callable[[], str], work: Path) -> Iterator[Row]:
    """What an ask waits on PostgreSQL without training in between, beside Optuna's own storage."""
    ours = list(measure_stepsize(new_url(), work, n_asks=N_ASKS, trainings_s=(0.0,)))
    for mine, theirs in zip(ours, measure_optuna(new_url(), n_asks=N_ASKS), strict=True):
        target = "<= Optuna's" if mine.n_history < 10_000 else "<= half of Optuna's"
        beside = f"{theirs.p50_ms:.0f} ms (RDBStorage)"
        what = f"ask back to back, tpe, {mine.n_history:,} trials of history: p50"
        yield Row(what, "postgresql", target, f"{mine.p50_ms:.0f} ms", mine.p50_ms, beside)


def sampler_rate(sampler: str, *, n_trials: int) -> float:
    """Return the trials per second of the sampler alone, in memory, at the size that the clients reach."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.samplers.TPESampler(seed=0) if sampler == "tpe" else optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=made)
    begun = time.perf_counter()
    for _ in range(n_trials):
        trial = study.ask()
        rate = trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)
        trial.suggest_int("batch_size", 4, 8)
        study.tell(trial, rate)
    return n_trials / (time.perf_counter() - begun)


# -- optuna-dashboard -------------------------------------------------------------------------------------------------


def measure_optuna_dashboard(work: Path, n_trials: int) -> dict[str, str]:
    """Return what the like costs its server: the study a page polls, whole at first and what is new later."""
    url = f"sqlite:///{work / 'optuna.db'}"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = RDBStorage(url)
    study = optuna.create_study(study_name="bench", storage=storage)
    add_optuna_history(storage, study, n_trials)
    port = free_port()
    command = [sys.executable, "-c", "from optuna_dashboard._cli import main; main()", url, "--port", str(port)]
    process = subprocess.Popen([*command, "--host", "127.0.0.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as client:
            _wait_until(lambda: client.get("/api/studies").is_success)
            service = Service(client, psutil.Process(process.pid))
            path = f"/api/studies/{study._study_id}"
            whole = service.cost_ms(path, n=1, n_before=1)
            later = service.cost_ms(f"{path}?after={n_trials}", n=3, n_before=1)
            n_bytes = len(client.get(path).content)
            memory = service.memory_mib()
    finally:
        process.terminate()
        process.wait()
    return {
        "job": f"{later:.1f} ms (study, nothing new)",
        "50 trials sorted by a value": f"{whole:.0f} ms, {n_bytes / 1e6:.1f} MB (study, whole)",
        "memory": f"{memory:.0f} MiB",
    }


def _wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(300):
        try:
            if is_so():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError("the server does not answer")


# -- all of it --------------------------------------------------------------------------------------------------------


def measure_database(kind: str, url: str, work: Path, sizes: Sequence[int], beside: dict[str, str]) -> Iterator[Row]:
    """Everything about polls on one database; one API process serves it all."""
    migrate.upgrade(url)
    database = Database(url)
    with running(url, work) as service:
        for n_trials in sizes:
            job_id = make_running_job(database, n_trials=n_trials, n_reports=5 if n_trials <= 10_000 else 1)
            its_like = beside if n_trials == 10_000 else {}
            yield from measure_requests(service, database, kind, job_id, n_trials, its_like)
            if n_trials == 10_000:
                yield measure_fresh_stream(service, kind, job_id)
                yield from measure_page(service, database, kind, job_id)
                yield from measure_crowd(service, database, kind, job_id)
        yield measure_list(service, database, kind)
        if kind == "sqlite":
            yield measure_assets(service)
        memory = service.memory_mib()
        yield Row(
            "memory of the API after all that", kind, "< 150 MiB", f"{memory:.0f} MiB", memory, beside.get("memory", "")
        )
    database.dispose()


def main() -> None:
    """Run everything; about ten minutes on two quiet cores."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.polling", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 10_000, 100_000], help="trials of history")
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--without-asking", action="store_true", help="leave the ask/tell clients out")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="stepsize-bench-"))
    load_before = os.getloadavg()
    server = PostgresServer() if "postgresql" in arguments.databases else None
    names = iter(range(1000))

    def new_url(kind: str) -> str:
        name = f"polling_{next(names)}"
        return f"sqlite:///{work / name}.db" if server is None or kind == "sqlite" else server.create_database(name)

    rows: list[Row] = []
    try:
        beside = measure_optuna_dashboard(work, 10_000)
        for kind in arguments.databases:
            for row in measure_database(kind, new_url(kind), work, arguments.sizes, beside if kind == "sqlite" else {}):
                print(row, file=sys.stderr, flush=True)  # noqa: T201
                rows.append(row)
            if not arguments.without_asking:
                for sampler in ("random", "tpe"):
                    url = new_url(kind)
                    migrate.upgrade(url)
                    own = 0.0 if sampler == "random" else sampler_rate(sampler, n_trials=1000)
                    row = measure_askers(url, work, kind, sampler, n_clients=200, own_rate=own)
                    print(row, file=sys.stderr, flush=True)  # noqa: T201
                    rows.append(row)
        if server is not None and not arguments.without_asking:
            for row in measure_back_to_back(lambda: new_url("postgresql"), work):
                print(row, file=sys.stderr, flush=True)  # noqa: T201
                rows.append(row)
    finally:
        if server is not None:
            server.close()
        shutil.rmtree(work, ignore_errors=True)
    load_after = os.getloadavg()
    print_table(
        ("what", "database", "target", "measured", "optuna-dashboard"),
        [(row.what, row.database, row.target, row.measured, row.beside) for row in rows],
    )
    cores = os.cpu_count()
    print(f"load of the machine ({cores} cores): {load_before[0]:.1f} before, {load_after[0]:.1f} after")  # noqa: T201
    document = {"polling": [asdict(row) for row in rows], "load": [load_before, load_after], "cores": cores}
    print(json.dumps(document))  # noqa: T201


if __name__ == "__main__":
    main()
