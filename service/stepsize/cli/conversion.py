"""Commands for who comes from elsewhere: other tools' files as jobs, and other tools' results as history."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import JsonValue

from stepsize.cli.connection import AsJson
from stepsize.cli.job_file import read_foreign
from stepsize.cli.printing import say
from stepsize.conversion import ConversionError, Converted, Wanted, is_foreign
from stepsize.conversion import convert as convert_document

_DIRECTIONS = ("minimize", "maximize")

ForeignTrainer = Annotated[
    str | None,
    typer.Option("--trainer", metavar="NAME", help="Let a trainer that is there train, not another tool's program."),
]
ForeignMetric = Annotated[
    str | None,
    typer.Option("--metric", metavar="NAME:DIRECTION", help="What to tune by, where another tool's file doesn't say."),
]


def convert(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A file of another tool, JSON or YAML; `-` reads standard input.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="JOB.yaml", help="Write the job here, not to the screen.")
    ] = None,
    commands: Annotated[
        Path | None,
        typer.Option(metavar="COMMANDS.yaml", help="Write the program's description here, for STEPSIZE_COMMANDS."),
    ] = None,
    trainer: ForeignTrainer = None,
    metric: ForeignMetric = None,
    as_json: AsJson = False,
) -> None:
    """Make a job of another tool's file, and say what can't be carried over.

    Understood are W&B sweeps, Katib Experiments, Kubeflow OptimizationJobs and Ray Tune spaces. `stepsize submit` takes
    the same files.
    """
    converted = _converted(read_foreign(file), wanted_of(trainer, metric), file)
    tell_notes(converted)
    text = json.dumps(converted.job, indent=2, ensure_ascii=False) + "\n" if as_json else _yaml(converted.job)
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text)
    _see_to_commands(converted, commands)


def wanted_of(trainer: str | None, metric: str | None) -> Wanted:
    """Return what the options of a command say of the job.

    Raises:
        typer.BadParameter: the metric is written otherwise.
    """
    return Wanted(trainer, _objective(metric))


def job_of(document: Mapping[str, JsonValue], file: str, wanted: Wanted | None = None) -> dict[str, JsonValue]:
    """Return the job in a file, made of another tool's where it is one; what is not carried over is told.

    Args:
        wanted: what the command's options say; null: it has none for that.

    Raises:
        typer.BadParameter: it is another tool's, and something in it has no counterpart; or it is a job, which says
            itself what the options are for.
    """
    if not is_foreign(document):
        if wanted not in (None, Wanted()):
            said = f"{file} is a job, which names its own; these are for files of other tools"
            raise typer.BadParameter(said, param_hint="--trainer, --metric")
        return dict(document)
    try:
        converted = _converted(document, wanted or Wanted(), file)
    except typer.BadParameter as error:
        if wanted is None:
            error.message += (
                f"\n(`stepsize convert {file} -o job.yaml` has these options)" if "--" in error.message else ""
            )
        raise
    tell_notes(converted)
    if converted.command is not None:
        say(f"a worker needs the program's description: `stepsize convert {file} --commands commands.yaml` writes it")
    return converted.job


def tell_notes(converted: Converted) -> None:
    """Say on standard error what is not as it was in the file."""
    say(f"{converted.source}, carried over" + (" with these differences:" if converted.notes else ""))
    for note in converted.notes:
        say(f"  {note}")


def _converted(document: Mapping[str, JsonValue], wanted: Wanted, file: str) -> Converted:
    try:
        return convert_document(document, wanted)
    except ConversionError as error:
        raise typer.BadParameter(f"{file} can't be carried over: {error}") from None


def _objective(given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    name, _, direction = given.rpartition(":")
    if not name or direction not in _DIRECTIONS:
        raise typer.BadParameter(f"{given!r} is no NAME:minimize or NAME:maximize", param_hint="--metric")
    return name, direction


def _see_to_commands(converted: Converted, path: Path | None) -> None:
    if converted.command is None:
        if path is not None:
            say(f"{path} is not written: the job runs no program of the file's")
        return
    if path is None:
        say("a worker needs the program's description: --commands commands.yaml writes it")
        return
    _write(path, _yaml(converted.command))
    say(f"start a worker with STEPSIZE_COMMANDS={path}, beside the program")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{path} can't be written: {error.strerror or error}") from error
    say(f"wrote {path}")


def _yaml(content: Mapping[str, JsonValue]) -> str:
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=120)
