"""`stepsize import`: other tools' results as finished jobs.

What reads them is imported inside the command: the tool's own library is an extra.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import typer
from pydantic import JsonValue

from stepsize.cli.connection import SERVER, AsJson, Server, connected
from stepsize.cli.conversion import job_of
from stepsize.cli.job_file import read_job
from stepsize.cli.printing import fail, print_json, say
from stepsize.client import Client, Job
from stepsize.extras import NEEDS, how_to_install
from stepsize.spec.seeds import SeedRule
from stepsize.spec.wording import counted

_TOLD_EVERY = 500


def import_(
    source: Annotated[Literal["optuna"], typer.Argument(help="The tool the study was made with.")],
    storage: Annotated[
        str, typer.Argument(metavar="STORAGE", help="A URL such as sqlite:///study.db, or the path of a journal file.")
    ],
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Which study; the only one by default.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="What its objective is called here; repeat it for several."),
    ] = None,
    seeds: Annotated[
        Literal["fresh", "shared"] | None,
        typer.Option(help="Which training seeds its trials had: each its own, or one for all; else the answer doubts."),
    ] = None,
    warm_start: Annotated[
        str | None, typer.Option(metavar="JOB.yaml", help="Then submit this job, with the study to learn from.")
    ] = None,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Bring a finished study into the record as a job, and print its id; the job that learns from it, if one is to."""
    file = None if warm_start is None else job_of(read_job(warm_start), warm_start)
    try:
        from stepsize.studies.optuna_study import read_study  # noqa: PLC0415 - see the module's docstring
        from stepsize.studies.past import StudyError  # noqa: PLC0415 - likewise
        from stepsize.studies.record import record_study  # noqa: PLC0415 - likewise
    except ModuleNotFoundError as error:
        fail(f"import optuna needs: {how_to_install(NEEDS['import'])}  ({error.name} is missing)")
    try:
        past = read_study(storage, study, metrics=metric or [])
        for note in past.notes:
            say(f"not carried over: {note}")
        if seeds is None:
            say("not carried over: training seeds; say --seeds fresh (each trial its own) or shared (one for all)")
        rule = SeedRule.UNKNOWN if seeds is None else SeedRule(seeds)
        with connected(server) as client:
            job = record_study(client, past, source=source, seeds=rule, told=_say_how_far)
            say(f"{job.id} has {counted(len(past.trials), 'trial')} of {past.name!r}")
            job = job if file is None else _submit(client, file, job)
    except StudyError as error:
        fail(str(error))
    if as_json:
        print_json(job)
    else:
        typer.echo(job.id)


def _submit(client: Client, file: Mapping[str, JsonValue], history: Job) -> Job:
    given = file.get("warm_start")
    before = given.get("jobs") if isinstance(given, dict) else None
    sources: dict[str, JsonValue] = {**given} if isinstance(given, dict) else {}
    sources["jobs"] = [*(before if isinstance(before, list) else []), history.id]
    job = client.submit({**file, "warm_start": sources})
    for warning in job.warnings:
        say(f"warning: {warning}")
    return job


def _say_how_far(n_told: int) -> None:
    if n_told % _TOLD_EVERY == 0:
        say(f"{n_told} trials told")
