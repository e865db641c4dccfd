"""`make tables`: runs the job files of examples/tables on a service of its own and writes docs/guide/tables.md.

`make tables ONLY="activations decay"` runs some of them; the others keep their results. Stop it at any time: the jobs
go on from where they were. `--render` writes the page from the results there are.
"""

import argparse
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.guide.rendering import all_facts
from benchmarks.guide.results import Results as GuideResults
from benchmarks.guide.serving import ROOT, running_service
from benchmarks.tables.page import render
from benchmarks.tables.plan import TABLES, Table
from benchmarks.tables.results import Answer, Measured, Results, key_of, without_bands
from benchmarks.tables.spending import Meter, metered
from stepsize.client import Client

PAGE = ROOT / "docs" / "guide" / "tables.md"
RESULTS = ROOT / "docs" / "guide" / "tables.json"
GUIDE_RESULTS = ROOT / "docs" / "guide" / "results.json"
FOLDER = ROOT / "build" / "tables"
_REPORT_TIMEOUT_S = 120.0
"""The first report of a service also starts the process that computes."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    names = [table.name for table in TABLES]
    parser.add_argument("--only", nargs="*", default=[], choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--render", action="store_true", help="run nothing")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the service's data, kept between runs")
    chosen = parser.parse_args(arguments)
    results = Results.read(RESULTS)
    wanted = [table for table in TABLES if not chosen.only or table.name in chosen.only]
    if not chosen.render:
        with stoppable(), running_service(chosen.folder, keep=True) as url, Client(url) as client:
            for table in wanted:
                _run(client, url, table, results)
    PAGE.write_text(render(results, all_facts(GuideResults.read(GUIDE_RESULTS))))


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM stop the body as Ctrl-C does, and SIGINT in the background too, where shells have it ignored.

    Else what the run took is lost, and its service goes on.
    """
    before = {one: signal.signal(one, signal.default_int_handler) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _run(client: Client, url: str, table: Table, results: Results) -> None:
    """Measure a table, and keep what that took, also if it is stopped on the way."""
    meter = Meter()
    try:
        with metered(meter):
            results.tables[table.name] = measure(client, url, table, meter)
    finally:
        if meter.is_needed:
            results.add_spent(table.name, meter.spent(key_of(table.specs)))
        results.write(RESULTS)
    print(f"{meter.wall_s:7.1f} s  {table.name}", flush=True)  # noqa: T201


def measure(client: Client, url: str, table: Table, meter: Meter) -> Measured:
    """Run a table's jobs, those that have not run yet, and return what they teach.

    Args:
        meter: is told which of the trainings were there already.

    Raises:
        RuntimeError: a job did not complete: what is missing would look like a finding.
    """
    jobs = {name: client.submit(spec, idempotency_key=key_of(spec)) for name, spec in table.specs.items()}
    meter.n_found = sum(job.progress.n_finished for job in jobs.values())
    meter.is_needed = any(job.finished_at is None for job in jobs.values())
    for name, job in jobs.items():
        if (ended := client.wait(job.id)).state != "completed":
            raise RuntimeError(f"{table.name}, {name}: the job is {ended.state} ({ended.reason})")
    ids = [job.id for job in jobs.values()]
    compared = _read(f"{url}/v1/reports", {"job": ids})
    first = _read(f"{url}/v1/jobs/{ids[0]}/report", {})
    parts = {name: first[name] for name in ("by_batch_size", "scaling_law", "by_learning_rate", "objective")}
    stripped = without_bands(compared)
    assert isinstance(stripped, dict), "a report is an object"
    return Measured(table.specs, stripped, parts if table.by_batch_size or table.by_learning_rate else {})


def _read(url: str, query: dict[str, list[str]]) -> Answer:
    answer = httpx.get(url, params=query, trust_env=False, timeout=_REPORT_TIMEOUT_S)
    answer.raise_for_status()
    found: Answer = answer.json()
    return found


if __name__ == "__main__":
    main()
