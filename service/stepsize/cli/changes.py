"""Commands that change a job, or make another of it."""

from typing import Annotated

import typer

from stepsize.cli.connection import SERVER, AsJson, JobId, Server, connected
from stepsize.cli.pairs import read_labels, read_limits, read_params
from stepsize.cli.printing import print_json, say, trials_done, with_reason


def change(
    job_id: JobId,
    labels: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY:VALUE", help="Replace all labels; repeat it for more.")
    ] = None,
    priority: Annotated[int | None, typer.Option(help="Larger goes first.")] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="LIMIT=NUMBER", help="Raise a limit, e.g. max_trials=100; repeat it for more."),
    ] = None,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Change a job's labels or priority, or raise its budget: a job that ended at a limit goes on."""
    if labels is None and priority is None and budget is None:
        raise typer.BadParameter("say what to change: --label, --priority or --budget")
    new_labels = None if labels is None else read_labels(labels)
    limits = None if budget is None else read_limits(budget)
    with connected(server) as client:
        job = client.change_job(job_id, labels=new_labels, priority=priority, budget=limits)
    if as_json:
        print_json(job)
    else:
        typer.echo(
            f"{job.id}: {with_reason(job.state, job.reason)}, {trials_done(job)} trials, priority {job.priority}"
        )


def delete(job_id: JobId, server: Server = SERVER) -> None:
    """Delete a finished job, its trials and files."""
    with connected(server) as client:
        client.delete_job(job_id)
    say(f"{job_id} is deleted")


def refit(
    job_id: JobId,
    params: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE…", help="The configuration; the best trial's by default.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Steps to train for; as many as the trials.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings, each with a seed of its own.")] = 1,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Train a configuration on all but the test data, measure it there once, and print the id of that job."""
    given = read_params(params) if params else None
    with connected(server) as client:
        job = client.refit(job_id, params=given, epochs=epochs, seeds=seeds)
    if as_json:
        print_json(job)
    else:
        typer.echo(job.id)
        say(f"follow it with `stepsize watch {job.id}`")
