"""`tune`: a Python function, tuned where it is."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, JsonValue

from stepsize.client.answers import Job
from stepsize.client.display import ProgressView
from stepsize.client.http import Client
from stepsize.client.transport import SERVER_VARIABLE, address
from stepsize.provenance import collect
from stepsize.spec.arguments import says_what_it_takes
from stepsize.spec.space import AnyParameter, Scalar
from stepsize.spec.wording import counted
from stepsize.tuning.crew import work_side_by_side
from stepsize.tuning.errors import TrainingFailedError
from stepsize.tuning.interrupts import told_interrupt
from stepsize.tuning.job import open_job
from stepsize.tuning.local_service import local_service
from stepsize.tuning.result import TuneResult, job_page
from stepsize.tuning.seat import note_interrupt
from stepsize.tuning.training import Assignment, Train, say, work

DATA_DIR = "stepsize-data"
_SHOW_EVERY_S = 1.0
_ELSEWHERE = {
    "n_trials": "max_trials",
    "num_samples": "max_trials",
    "direction": "minimize or maximize, with the metric's name",
    "directions": "minimize and maximize, with the metrics' names",
    "metric": "minimize or maximize, with the metric's name",
    "n_jobs": "processes",
    "study_name": "name",
    "storage": "server or data_dir",
    "timeout": """spec={"budget": {"timeout_s": …}}""",
    "param_space": "search_space",
}
"""What other tuners call it → what it is here."""

Searched = AnyParameter | Mapping[str, JsonValue]
"""A parameter's range: `Float(…)`, `Int(…)`, `Choice(…)`, or as a job's JSON has it."""


@says_what_it_takes('tune(train, {"learning_rate": Float(1e-5, 1.0, log=True)}, max_trials=40)', elsewhere=_ELSEWHERE)
def tune(
    train: Train,
    search_space: Mapping[str, Searched],
    *,
    name: str | None = None,
    minimize: str | Sequence[str] = (),
    maximize: str | Sequence[str] = (),
    max_trials: int = 40,
    processes: int = 1,
    sampler: str | Mapping[str, JsonValue] | None = None,
    pruner: str | Mapping[str, JsonValue] | None = None,
    enqueue: Sequence[Mapping[str, Scalar]] = (),
    spec: Mapping[str, JsonValue] | None = None,
    server: str | None = None,
    data_dir: Path | str | None = None,
    raises: bool = False,
    progress: bool = True,
) -> TuneResult:
    """Tune a function here and return what came out.

    It trains one trial: takes its parameters from `trial.params`, reports with `if trial.report(step, loss): return`,
    and returns the objective (or all metrics by name). A value that isn't finite, or `stepsize.Diverged`, ends the
    trial as diverged and a lack of memory as out of memory: the search learns from both. Any other exception fails the
    trial alone.

    Calling it again goes on where it stopped, also after this process was killed: same name and search, same job. So
    does a larger `max_trials`. Ctrl-C stops it the same way.

    Args:
        train: the function; what it returns counts, or, if that is None, what it reported last.
        search_space: parameter → range, such as `{"learning_rate": Float(1e-5, 1.0, log=True)}`; or as a job has it:
            `{"type": "float", "low": 1e-5, "high": 1.0, "log": True}`.
        name: of the job; null: the function's module and name, where the service is one of this directory.
        minimize, maximize: the objective, or several. Without either: minimise `loss`.
        max_trials: trials of any outcome.
        processes: how many train at once, forked from this one; 1: this process itself.
        sampler, pruner: by name, or with settings: `{"name": "tpe", "seed": 0}`.
        enqueue: configurations to try first.
        spec: further fields of the job, as in `POST /v1/jobs`.
        server: the address of a service; null, and no `data_dir` either: where `STEPSIZE_SERVER` says, else one started
            for it, which ends with this process.
        data_dir: where that keeps its record; null: `STEPSIZE_DATA_DIR`, or ./stepsize-data.
        raises: raise the function's first exception, once its trial is told as failed.
        progress: show how far it is.

    Raises:
        TypeError: there is no such argument; the message names the one that is meant.
        ImportError: there is no service, and the extras to start one aren't installed.
        ApiError: the service refuses the search; the message names each wrong field.
        TuneError: the name is of a job that searches something else, so many trials failed that the job did, or none
            ended otherwise.
        ServerUnreachableError: the service is gone; calling it again goes on.
    """
    given = _server(server, data_dir)
    job_name = name or _name_of(train, given)
    objectives = _objectives(minimize, maximize)
    fields = _spec(search_space, objectives, max_trials, sampler, pruner, enqueue, spec or {})
    base_url = (
        address(given) if given else local_service(Path(data_dir or os.environ.get("STEPSIZE_DATA_DIR") or DATA_DIR))
    )
    with Client(base_url) as client:
        job = open_job(client, job_name, fields)
        for warning in job.warnings:
            say(f"warning: {warning}")
        say(f"{job_name}: {job_page(base_url, job.id)}")
    origin = collect(train, trainer=_named(train), trainer_version=None, device=_device())
    assignment = Assignment(base_url, job.id, train, tuple(objectives), origin, raises)
    try:
        if not job.is_finished:
            _work(assignment, processes, shows=progress)
        with Client(base_url) as client:
            return _settled(client, client.wait(job.id), base_url)
    except KeyboardInterrupt:
        note_interrupt(job.id)
        raise told_interrupt(
            f"stopped; the same call goes on with job {job.id}, the trial that was under way first"
        ) from None


def _as_json(parameter: Searched) -> JsonValue:
    return parameter.model_dump(mode="json") if isinstance(parameter, BaseModel) else cast(JsonValue, parameter)


def _work(assignment: Assignment, processes: int, *, shows: bool) -> None:
    view: AbstractContextManager[ProgressView | None] = ProgressView() if shows else nullcontext()
    with view as shown:
        show = _every(_SHOW_EVERY_S, lambda client: shown.show(client.job(assignment.job_id)) if shown else None)
        if processes == 1:
            work(assignment, after_trial=show)
            return

        def meanwhile() -> None:
            with Client(assignment.server) as client:
                show(client)

        work_side_by_side(assignment, processes, meanwhile=meanwhile)


def _settled(client: Client, job: Job, base_url: str) -> TuneResult:
    """Return the result of a job that has finished.

    Raises:
        TrainingFailedError: there is none.
    """
    if job.is_lost or job.state == "failed":
        last = next(iter(client.trials(job.id, state="failed", sort="-number", limit=1)), None)
        n_failed = job.progress.counts.get("failed", 0)
        words = f"; the last one: {last.error}" if last and last.error else ""
        raise TrainingFailedError(
            f"{n_failed} of {counted(job.progress.total, 'trial')} failed{words or f': {job.error}'}\n"
            f"once the function is mended, the same call goes on; {job_page(base_url, job.id)} shows them all"
        )
    return TuneResult(job, base_url)


def _spec(
    search_space: Mapping[str, Searched],
    objectives: Mapping[str, str],
    max_trials: int,
    sampler: str | Mapping[str, JsonValue] | None,
    pruner: str | Mapping[str, JsonValue] | None,
    enqueue: Sequence[Mapping[str, Scalar]],
    more: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    budget = more.get("budget")
    fields: dict[str, JsonValue] = {
        "trainer": "python function",
        **more,
        "engine": "external",
        "search_space": {name: _as_json(parameter) for name, parameter in search_space.items()},
        "objectives": [{"metric": metric, "direction": direction} for metric, direction in objectives.items()],
        "budget": {**(budget if isinstance(budget, dict) else {}), "max_trials": max_trials},
    }
    fields |= {"enqueue": [dict(params) for params in enqueue]} if enqueue else {}
    for field, chosen in (("sampler", sampler), ("pruner", pruner)):
        if chosen is not None:
            fields[field] = {"name": chosen} if isinstance(chosen, str) else dict(chosen)
    return fields


def _objectives(minimize: str | Sequence[str], maximize: str | Sequence[str]) -> dict[str, str]:
    """Return metric → direction, in the order given."""
    down, up = ([names] if isinstance(names, str) else list(names) for names in (minimize, maximize))
    if both := set(down) & set(up):
        raise ValueError(f"{', '.join(sorted(both))} can't be both minimised and maximised")
    return dict.fromkeys(down, "minimize") | dict.fromkeys(up, "maximize") or {"loss": "minimize"}


def _server(server: str | None, data_dir: object) -> str | None:
    """Return the service that is meant; None: one of its own, as where a directory is named for its record.

    Raises:
        ValueError: both are named.
    """
    if server and data_dir:
        raise ValueError("give server=, which has its record, or data_dir= for a service of its own, and not both")
    return server or (None if data_dir else os.environ.get(SERVER_VARIABLE))


def _name_of(train: Train, server: str | None) -> str:
    """Return the name of a function that was given none.

    Raises:
        ValueError: it would not be told from the functions of others.
    """
    if server is not None:
        raise ValueError(
            f"name= is needed with a service that others may use too ({server}): it says which job to go on with"
        )
    return _named(train)


def _named(train: Train) -> str:
    kind = train if hasattr(train, "__qualname__") else type(train)  # a callable object, or functools.partial
    return f"{kind.__module__}.{kind.__qualname__}"


def _device() -> str:
    """Return the device that torch is in use on here, as far as that shows."""
    torch: Any = sys.modules.get("torch")
    return "cuda:0" if torch is not None and torch.cuda.is_available() else "cpu"


def _every(period_s: float, act: Callable[[Client], None]) -> Callable[[Client], None]:
    """Return a function that acts at most once a period."""
    due = 0.0

    def maybe(client: Client) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + period_s
            act(client)

    return maybe
