"""The command line, `stepsize …`: one module a family of commands.

Commands that only talk HTTP start without importing FastAPI or SQLAlchemy.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from stepsize import __version__
from stepsize.cli import (
    agents,
    catalogue,
    changes,
    conversion,
    datasets,
    doctor,
    jobs,
    range_tests,
    reports,
    results,
    servers,
    studies,
    trials,
)
from stepsize.cli.commands import Commands

app = typer.Typer(
    cls=Commands,
    name="stepsize",
    help="Tune hyperparameters as a service: start it, submit jobs to it, ask it for answers.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stepsize {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _add(panel: str, *commands: Callable[..., None]) -> None:
    for command in commands:
        app.command(rich_help_panel=panel)(command)


_add("Run the service", servers.up, servers.api, servers.worker, servers.migrate, doctor.doctor)
app.command("try", rich_help_panel="Run the service")(servers.try_)
_add("Use it", jobs.submit, jobs.watch, jobs.jobs, jobs.trials, jobs.log, jobs.best)
_add("Use it", trials.trial, trials.reports, trials.enqueue, trials.download)
_add("Come from elsewhere", conversion.convert)
app.command("import", rich_help_panel="Come from elsewhere")(studies.import_)
_add("Range tests", range_tests.range_test, range_tests.read_range_test)
_add("Read the answers", reports.report, reports.compare, reports.export)
_add("Read the answers", results.curves, results.history, results.pareto, results.importances, results.plot)
_add("Read the answers", results.provenance)
_add("Bring data", datasets.datasets, datasets.dataset, datasets.upload, datasets.delete_dataset)
_add("Control a job", jobs.pause, jobs.resume, jobs.stop, jobs.cancel, jobs.retry)
_add("Control a job", changes.change, changes.delete, changes.refit)
_add("Train elsewhere", trials.ask, trials.tell)
_add("For agents", agents.mcp)
_add("See what there is", catalogue.trainers, catalogue.samplers, catalogue.pruners, catalogue.optimizers)
_add("See what there is", catalogue.schedules, catalogue.schedule, catalogue.workers)
_add("See what there is", catalogue.health, catalogue.metrics)
