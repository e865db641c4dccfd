"""`stepsize doctor`: what is wrong with this installation, and how to mend it.

Imports of what belongs to extras stand inside functions, as in servers.py.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer
from pydantic import BaseModel, ValidationError

from stepsize import __version__
from stepsize.cli.connection import SERVER, AsJson
from stepsize.client import ApiError, Client, ServerUnreachableError
from stepsize.client.transport import trusts_environment
from stepsize.environment import SERVER as SERVER_VARIABLE
from stepsize.environment import misspelt_server
from stepsize.extras import ANALYSIS, how_to_install, missing_extras
from stepsize.spec.wording import counted

if TYPE_CHECKING:
    from stepsize.settings import Settings

_LEAST_FREE_BYTES = 2**30
_LARGEST_SKEW_S = 5.0
"""A `Date` header has whole seconds, and an answer takes a moment: less says nothing."""
_SELF_CHECK = [sys.executable, "-P", "-m", "stepsize_workers.self_check"]
_PATIENCE_S = 300.0
_ANSWER_WITHIN_S = 60.0
"""The description of an API is made when it is first asked for, which takes seconds on a busy machine."""


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `mend` says what to do about it, where something is to be done."""

    about: str
    verdict: Verdict
    said: str
    mend: str = ""


class SelfCheck(BaseModel):
    """What a worker started here would see."""

    trainers: list[str]
    problems: list[str]
    devices: list[str]
    torch: str | None
    cuda: bool


def doctor(
    data_dir: Annotated[
        Path | None, typer.Option(help="The data directory; STEPSIZE_DATA_DIR or ./stepsize-data by default.")
    ] = None,
    server: Annotated[str | None, typer.Option(envvar=SERVER_VARIABLE, help="Where the service is.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with this installation, and how to mend it; 1 if something is."""
    found = list(_examine(data_dir, server))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    else:
        for finding in found:
            typer.echo(f"{finding.verdict:5}  {finding.about}: {finding.said}")
            if finding.mend:
                typer.echo(f"       → {finding.mend}")
    if any(finding.verdict is Verdict.WRONG for finding in found):
        raise typer.Exit(1)


def _examine(data_dir: Path | None, server: str | None) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding("versions", Verdict.OK, f"stepsize {__version__}, Python {python}")
    missing = missing_extras(["server", "worker", ANALYSIS])
    if missing:
        yield Finding("extras", Verdict.NOTE, f"{', '.join(missing)} not installed here", how_to_install(missing))
    if "server" not in missing:
        yield from _of_the_service(data_dir)
    if "worker" not in missing:
        yield from _of_the_worker()
    yield from _of_the_running(server)


def _of_the_service(data_dir: Path | None) -> Iterator[Finding]:
    from stepsize.cli.settings import WrongSettingsError, read_settings  # noqa: PLC0415 - see the module's docstring

    try:
        settings = read_settings(data_dir)
    except WrongSettingsError as error:
        yield Finding("settings", Verdict.WRONG, str(error), "mend or unset it; docs/settings.md lists all")
        return
    yield Finding("settings", Verdict.OK, "every STEPSIZE_ variable is known")
    place = _data_dir(settings.data_dir)
    yield place
    if place.verdict is not Verdict.WRONG:
        yield _space(settings.data_dir)
    if place.verdict is not Verdict.WRONG or settings.database_url:  # else it would lie in there
        yield _database(settings)


def _data_dir(path: Path) -> Finding:
    about, another = "data directory", "name another with --data-dir or STEPSIZE_DATA_DIR"
    permissions = f"mend the permissions, or {another}"
    try:
        parent = _existing(path)
        if not parent.is_dir():
            what = "is a file" if parent == path.resolve() else f"can't be made: {parent} is a file"
            return Finding(about, Verdict.WRONG, f"{path} {what}", another)
        if parent != path.resolve():
            if os.access(parent, os.W_OK | os.X_OK):
                return Finding(about, Verdict.NOTE, f"{path} is not there yet; `stepsize up` makes it")
            said = f"{path} can't be made: {parent} can't be written to"
            return Finding(about, Verdict.WRONG, said, permissions)
        locked = [each for each in (path, *path.iterdir()) if each.is_dir() and not os.access(each, os.W_OK | os.X_OK)]
    except OSError as error:
        return Finding(about, Verdict.WRONG, f"{path} can't be used: {error.strerror or error}", permissions)
    if locked:
        return Finding(about, Verdict.WRONG, f"{', '.join(map(str, locked))} can't be written to", permissions)
    return Finding(about, Verdict.OK, f"{path.resolve()} can be written to")


def _space(path: Path) -> Finding:
    free = shutil.disk_usage(_existing(path)).free
    said = f"{free / 2**30:.1f} GiB free"
    if free < _LEAST_FREE_BYTES:
        return Finding("space", Verdict.WRONG, said, "make room: jobs wait while nothing can be recorded")
    return Finding("space", Verdict.OK, said)


def _database(settings: "Settings") -> Finding:
    from stepsize.cli.schema import head_problem  # noqa: PLC0415 - see the module's docstring
    from stepsize.store.database import DatabaseError, reason_of  # noqa: PLC0415 - see the module's docstring

    mend = "start it, or mend STEPSIZE_DATABASE_URL"
    if settings.url.startswith("sqlite"):
        path = Path(settings.url.partition(":///")[2])
        if not path.exists():  # to open it would make it
            return Finding("database", Verdict.NOTE, f"{path} is not there yet; `stepsize up` makes it")
        mend = f"move {path} away, or name another with --data-dir, STEPSIZE_DATA_DIR or STEPSIZE_DATABASE_URL"
        if path.is_dir():
            return Finding("database", Verdict.WRONG, f"{path} is a directory, and not SQLite's file", mend)
    try:
        wrong = head_problem(settings)
    except DatabaseError as error:
        said = " ".join(reason_of(error).split())
        return Finding("database", Verdict.WRONG, f"it does not answer: {said}", mend)
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        return Finding("database", Verdict.WRONG, said, "mend STEPSIZE_DATABASE_URL or the permissions")
    if wrong:
        return Finding("database", Verdict.WRONG, wrong.said, wrong.command)
    return Finding("database", Verdict.OK, "its tables are of this version")


def _of_the_worker() -> Iterator[Finding]:
    try:
        done = subprocess.run(_SELF_CHECK, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
        seen = SelfCheck.model_validate_json(done.stdout)
    except (subprocess.TimeoutExpired, ValidationError) as error:
        said = done.stderr.strip().splitlines()[-1:] if isinstance(error, ValidationError) else ["it took too long"]
        yield Finding("worker", Verdict.WRONG, f"it can't start here: {' '.join(said)}", how_to_install(["worker"]))
        return
    yield Finding("trainers", Verdict.OK, ", ".join(seen.trainers))
    for problem in seen.problems:
        yield Finding("trainers", Verdict.WRONG, problem, "mend the module, or take it out of STEPSIZE_TRAINERS")
    has_gpu = any(device != "cpu" for device in seen.devices)
    devices = ", ".join(seen.devices) or "none"
    if has_gpu and not seen.cuda:
        mend = "install a torch with CUDA that suits the driver (pytorch.org/get-started), or set CUDA_VISIBLE_DEVICES="
        yield Finding("devices", Verdict.WRONG, f"{devices}, but torch {seen.torch} sees no GPU", mend)
    else:
        yield Finding("devices", Verdict.OK, f"{devices}; torch {seen.torch}")


def _of_the_running(server: str | None) -> Iterator[Finding]:
    if misspelt := misspelt_server(os.environ):
        yield Finding("service", Verdict.WRONG, misspelt, f"rename it to {SERVER_VARIABLE}")
    address = (server or SERVER).rstrip("/")
    with Client(address) as client:
        try:
            client.is_ready()
            workers = client.workers()
        except ServerUnreachableError as error:
            yield Finding("service", Verdict.WRONG if server else Verdict.NOTE, str(error), error.mend)
            return
        except ApiError as error:
            yield Finding("service", Verdict.WRONG, f"{address}: {error}", "`stepsize migrate`, or see the API's log")
            return
    yield Finding("service", Verdict.OK, f"{address} is ready")
    yield from _clock_and_version(address)
    alive = [worker for worker in workers if worker.alive]
    if not alive:
        yield Finding("workers", Verdict.WRONG, "none is alive: jobs wait", "stepsize worker")
    for worker in alive:
        said = f"{worker.id} on {worker.host}: {worker.version}, {counted(len(worker.slots), 'slot')}"
        yield _of_this_version("workers", said, worker.version)


def _clock_and_version(address: str) -> Iterator[Finding]:
    try:
        with httpx.Client(trust_env=trusts_environment(address), timeout=_ANSWER_WITHIN_S) as http:
            asked = datetime.now(UTC)
            dated = http.get(f"{address}/healthz").headers.get("Date")
            answered = datetime.now(UTC)
            version = str(http.get(f"{address}/openapi.json").json().get("info", {}).get("version"))
    except (httpx.TransportError, ValueError) as error:
        yield Finding("API", Verdict.NOTE, f"its version can't be read: {error}", "see its log, and ask again")
        return
    yield _of_this_version("API", f"version {version}", version)
    if dated is not None:
        skew_s = _skew_s(asked, parsedate_to_datetime(dated), answered)
        said = f"this machine's is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} the service's"
        if abs(skew_s) > _LARGEST_SKEW_S:
            yield Finding("clock", Verdict.WRONG, said, "set both by NTP: ages and times left would be wrong")
        else:
            yield Finding("clock", Verdict.OK, "as the service's")


def _skew_s(asked: datetime, theirs: datetime, answered: datetime) -> float:
    """Return by how much this clock is ahead of theirs, at the least: they answered at some time in between."""
    ahead_s, behind_s = (asked - theirs).total_seconds(), (answered - theirs).total_seconds()
    return ahead_s if ahead_s > 0 else min(behind_s, 0.0)


def _of_this_version(about: str, said: str, version: str) -> Finding:
    if version == __version__:
        return Finding(about, Verdict.OK, said)
    return Finding(about, Verdict.WRONG, f"{said}, but here is {__version__}", "install the same version everywhere")


def _existing(path: Path) -> Path:
    """Return the path, or the nearest directory above it that is there."""
    return next(each for each in (path.resolve(), *path.resolve().parents) if each.exists())
