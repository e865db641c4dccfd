"""Commands that run the service or a part of it.

What they run (FastAPI, uvicorn, SQLAlchemy, the settings) is imported inside them: it belongs to extras that need not
be installed, and at the top it would double the start of commands that only talk HTTP.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepsize.cli.printing import fail, say
from stepsize.clock import new_id
from stepsize.extras import ANALYSIS, how_to_install, missing_extras, what_to_install
from stepsize.hosts import is_loopback

if TYPE_CHECKING:
    from stepsize.settings import Settings

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
Slots = Annotated[int | None, typer.Option(min=1, help="Trials at once; by default one per GPU, or a few on the CPU.")]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Database, artifacts and data sets; STEPSIZE_DATA_DIR or ./stepsize-data by default."),
]
Unauthenticated = Annotated[
    bool, typer.Option("--allow-unauthenticated", help="Allow a --host that other machines can reach.")
]

_WORKER = [sys.executable, "-P", "-m", "stepsize_workers"]
"""`-P`: a directory called `workers` where the user happens to stand is not our worker."""


def up(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data_dir: DataDir = None,
    slots: Slots = None,
    allow_unauthenticated: Unauthenticated = False,
) -> None:
    """Run everything on this machine: migrate, then the API and one worker, until Ctrl-C or SIGTERM.

    Needs the extras server and worker; for reports and plots analysis too.
    """
    _require_extras("up")
    if missing_extras([ANALYSIS]):
        say(f"reports and plots need: {how_to_install([ANALYSIS])}")
    _refuse_public(host, allow_unauthenticated)
    settings = _settings(data_dir)

    from stepsize.cli import serving, supervisor  # noqa: PLC0415 - see the module's docstring

    worker = supervisor.Supervisor(_worker_command(slots), env=_worker_env(settings))
    serving.serve_all(settings, host, port, worker=worker)


def api(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    allow_unauthenticated: Unauthenticated = False,
) -> None:
    """Run the API alone; STEPSIZE_DATABASE_URL and STEPSIZE_DATA_DIR say on what."""
    _require_extras("api")
    _refuse_public(host, allow_unauthenticated)
    settings = _settings()

    from stepsize.cli import serving  # noqa: PLC0415 - see the module's docstring

    serving.serve_api(settings, host, port)


def worker(slots: Slots = None) -> None:
    """Run a worker alone; STEPSIZE_DATABASE_URL and STEPSIZE_DATA_DIR say on what."""
    _require_extras("worker")
    settings = _settings()

    from stepsize.cli import schema  # noqa: PLC0415 - see the module's docstring

    schema.require_tables(settings)  # waits for a database that is away, as a running worker does
    command = _worker_command(slots)
    os.execv(command[0], command)


def try_(
    trainer: Annotated[str, typer.Argument(help="A file that defines a trainer, or a trainer's name.")],
    params: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A parameter; repeat it for more.")
    ] = None,
    name: Annotated[str | None, typer.Option("--trainer", help="Which one, where the file defines several.")] = None,
    seed: Annotated[int, typer.Option(help="The training seed.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda:0; by default a GPU where torch sees one.")] = "",
    data_dir: DataDir = None,
    output: Annotated[Path | None, typer.Option(help="Keep the trial's files in this directory.")] = None,
) -> None:
    """Run one trial here, without a service, the file read anew; a JSON line for each report, then one for the end."""
    _require_extras("try")
    settings = _settings(data_dir)
    options = [f"--param={pair}" for pair in params or []]
    options += [f"--trainer={name}"] if name else []
    options += [f"--output={output}"] if output else []
    os.execv(
        sys.executable,
        [
            *(sys.executable, "-P", "-m", "stepsize_workers.trying", trainer, *options),
            *(f"--seed={seed}", f"--device={device}", f"--data-dir={settings.data_dir}"),
        ],
    )


def migrate() -> None:
    """Bring the tables of the database in STEPSIZE_DATABASE_URL to this version."""
    _require_extras("migrate")
    settings = _settings()

    from stepsize.cli import schema  # noqa: PLC0415 - see the module's docstring

    schema.migrate(settings)
    typer.echo("the database is up to date")


def _require_extras(command: str) -> None:
    if mend := what_to_install(command):
        fail(f"{command} needs: {mend}")


def _refuse_public(host: str, allow_unauthenticated: bool) -> None:
    if not allow_unauthenticated and not is_loopback(host):
        raise typer.BadParameter(
            f"other machines can reach {host}, and the service has no authentication yet: whoever reaches it may use "
            "it. Add --allow-unauthenticated if a firewall or a proxy decides who does.",
            param_hint="--host",
        )


def _settings(data_dir: Path | None = None) -> "Settings":
    """Return the environment's settings, with the command's data directory where it names one.

    Raises:
        typer.BadParameter: a STEPSIZE_ variable is wrong, or there is no such setting.
    """
    from stepsize.cli.settings import WrongSettingsError, read_settings  # noqa: PLC0415 - see the module's docstring

    try:
        return read_settings(data_dir)
    except WrongSettingsError as error:
        raise typer.BadParameter(str(error), param_hint="environment") from None


def _worker_command(slots: int | None) -> list[str]:
    return _WORKER if slots is None else [*_WORKER, "--slots", str(slots)]


def _worker_env(settings: "Settings") -> dict[str, str]:
    return {
        **os.environ,
        "STEPSIZE_DATABASE_URL": settings.url,
        "STEPSIZE_DATA_DIR": str(settings.data_dir.resolve()),
        # The worker ends when this process is gone, even by kill -9.
        "STEPSIZE_PARENT_PID": str(os.getpid()),
        # One identity for all its restarts: a new process ends the leases of the dead one at once.
        "STEPSIZE_WORKER_ID": new_id("worker"),
    }
