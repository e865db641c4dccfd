"""Commands about answers: a job's report, and everything it has recorded."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from stepsize.cli.connection import SERVER, AsJson, JobId, Server, connected
from stepsize.cli.printing import fail, print_json, print_markdown, say

Format = Literal["csv", "jsonl", "parquet", "optuna"]


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
        Format | None,
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
        chunks = client.export(job_id, file_format=wanted, rows=rows)
        if file is None:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            return
        try:
            _write(file, chunks)
        except OSError as error:
            fail(f"{file} can't be written: {error.strerror or error}")
    say(f"wrote {file}")


def _format_of(file: Path | None) -> Format:
    """Return the format a file's name asks for.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    match file and file.suffix.lower():
        case ".jsonl":
            return "jsonl"
        case ".parquet":
            return "parquet"
        case ".csv" | "" | None:
            return "csv"
        case ending:
            meant = "did you mean .jsonl? Else w" if ending in (".json", ".ndjson") else "w"
            raise typer.BadParameter(
                f"no format ends in {ending}; {meant}rite .csv, .jsonl or .parquet, or name one with --format",
                param_hint="--output",
            )


def _write(file: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that is complete, or isn't there."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        with partial.open("wb") as target:
            for chunk in chunks:
                target.write(chunk)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
