"""Commands about answers: a job's report, and everything it has recorded."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.cli.connection import SERVER, AsJson, JobId, Server, connected
from service.cli.printing import print_json, print_markdown, say


def report(job_id: JobId, server: Server = SERVER, as_json: AsJson = False) -> None:
    """Print what a job teaches about its learning rate."""
    with connected(server) as client:
        if as_json:
            print_json(client.report(job_id))
            return
        print_markdown(client.report_text(job_id))


def export(
    job_id: JobId,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here; standard output by default.")
    ] = None,
    file_format: Annotated[
        Literal["csv", "jsonl", "parquet", "optuna"],
        typer.Option("--format", help="`optuna` is a journal file for optuna.load_study and optuna-dashboard."),
    ] = "csv",
    rows: Annotated[Literal["trials", "reports"], typer.Option(help="One row a trial or one a report.")] = "trials",
    server: Server = SERVER,
) -> None:
    """Save everything a job has recorded."""
    with connected(server) as client:
        chunks = client.export(job_id, file_format=file_format, rows=rows)
        if file is None:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            return
        partial = file.with_name(f"{file.name}.partial")
        with partial.open("wb") as target:
            for chunk in chunks:
                target.write(chunk)
        partial.replace(file)
    say(f"wrote {file}")
