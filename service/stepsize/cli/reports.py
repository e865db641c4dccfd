"""Commands about answers: a job's report, and everything it has recorded."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from stepsize.cli.connection import SERVER, AsJson, JobId, Server, connected
from stepsize.cli.printing import fail, print_json, print_markdown, say
from stepsize.client import ExportFormat, export_format


def report(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB…", help="One job; several are compared.")],
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Print what a job teaches about its learning rate, or what several do beside each other."""
    if len(job_ids) > 1:
        compare(job_ids, server, as_json)
        return
    with connected(server) as client:
        if as_json:
            print_json(client.report(job_ids[0]))
            return
        print_markdown(client.report_text(job_ids[0]))


def export(
    job_id: JobId,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here; standard output by default.")
    ] = None,
    file_format: Annotated[
        ExportFormat | None,
        typer.Option(
            "--format",
            help="What FILE ends with by default; csv where it has no ending. `optuna` is a journal file for "
            "optuna.load_study and optuna-dashboard.",
        ),
    ] = None,
    rows: Annotated[Literal["trials", "reports"], typer.Option(help="One row a trial or one a report.")] = "trials",
    server: Server = SERVER,
) -> None:
    """Save everything a job has recorded."""
    wanted = file_format or _format_of(file)
    with connected(server) as client:
        if file is None:
            for chunk in client.export(job_id, file_format=wanted, rows=rows):
                sys.stdout.buffer.write(chunk)
            return
        try:
            client.export_to(job_id, file, file_format=wanted, rows=rows)
        except OSError as error:
            fail(f"{file} can't be written: {error.strerror or error}")
    say(f"wrote {file}")


def compare(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB…", help="Two jobs or more.")],
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Say what differs between jobs, and the best rate of each choice that they make."""
    if len(set(job_ids)) < 2:
        told = "name two different jobs or more; `stepsize report JOB` tells of one"
        raise typer.BadParameter(told, param_hint="JOB…")
    with connected(server) as client:
        if as_json:
            print_json(client.compare(job_ids))
            return
        print_markdown(client.compare_text(job_ids))


def _format_of(file: Path | None) -> ExportFormat:
    """Return the format a file's name asks for.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    try:
        return export_format(file)
    except ValueError as error:
        raise typer.BadParameter(f"{error} with --format", param_hint="--output") from error
