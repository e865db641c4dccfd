"""Commands about single trials, and about those that train elsewhere."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

import typer
from pydantic import JsonValue

from stepsize.cli.connection import SERVER, AsJson, JobId, Server, connected
from stepsize.cli.files import Output, write_file
from stepsize.cli.jobs import Number
from stepsize.cli.pairs import read_params, read_values
from stepsize.cli.printing import duration, print_json, print_rows, print_trials, say

Pairs = Annotated[list[str], typer.Argument(metavar="NAME=VALUE…", help="E.g. learning_rate=0.1 optimizer=sgd.")]
Token = Annotated[int, typer.Option(min=1, help="As `stepsize ask` gave it.")]


def trial(job_id: JobId, number: Number, server: Server = SERVER, as_json: AsJson = False) -> None:
    """Show one trial, with all that is known of how it came about."""
    with connected(server) as client:
        found = client.trial(job_id, number)
        ran_with = None if found.provenance is None else client.provenance(job_id).of(found.provenance)
    if as_json:
        print_json(found.model_copy(update={"ran_with": ran_with}))
        return
    print_trials([found])
    if found.remark:
        typer.echo(f"remark: {found.remark}")
    if found.fixed_params:
        fixed = " ".join(f"{name}={value}" for name, value in found.fixed_params.items() if value != "")
        typer.echo(f"fixed by the job: {fixed}")
    for line in [*found.provenance_lines(), *(ran_with.lines() if ran_with else [])]:
        typer.echo(line)


def reports(job_id: JobId, number: Number, server: Server = SERVER, as_json: AsJson = False) -> None:
    """List what a trial has reported, step by step."""
    with connected(server) as client:
        found = list(client.reports(job_id, number))
    if as_json:
        print_json(found)
        return
    metrics = list(dict.fromkeys(name for report in found for name in report.values))
    print_rows(
        ("step", *metrics, "elapsed"),
        [(report.step, *(report.values.get(name) for name in metrics), duration(report.elapsed_s)) for report in found],
        otherwise="no reports",
    )


def enqueue(job_id: JobId, params: Pairs, server: Server = SERVER, as_json: AsJson = False) -> None:
    """Try a configuration of your own next; parameters left out are sampled."""
    given = read_params(params)
    with connected(server) as client:
        found = client.enqueue(job_id, given)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"trial {found.number} is {found.state}")


def download(
    job_id: JobId,
    name: Annotated[str, typer.Argument(help="A file's name; `stepsize trials JOB --json` lists them.")],
    number: Annotated[
        int | None, typer.Option("--trial", min=0, metavar="TRIAL", help="Whose file; the best trial's by default.")
    ] = None,
    file: Output = None,
    server: Server = SERVER,
) -> None:
    """Save a file that a trial has left, such as model.safetensors."""
    with connected(server) as client:
        content = client.best_artifact(job_id, name) if number is None else client.artifact(job_id, number, name)
    write_file(content, file, default=PurePosixPath(name).name)


def ask(
    job_id: JobId,
    client_id: Annotated[
        str, typer.Option("--client", metavar="NAME", help="A name for who asks; the same name gets its trial again.")
    ],
    count: Annotated[int, typer.Option(min=1, help="How many trials to have.")] = 1,
    lease_s: Annotated[float, typer.Option(help="Seconds of silence after which others may get them.")] = 60.0,
    wait_s: Annotated[float, typer.Option(help="Seconds to wait where there are none yet.")] = 10.0,
    restarted: Annotated[
        bool, typer.Option("--restarted", help="The trials it has begin anew: it knows nothing of them any more.")
    ] = False,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Ask for trials of an external job to train here; 1 where there are none."""
    with connected(server) as client:
        found = client.suggest(
            job_id, client_id=client_id, count=count, lease_s=lease_s, wait_s=wait_s, restarted=restarted
        )
    if as_json:
        print_json(found)
    else:
        for each in found.trials:
            params = " ".join(f"{name}={value}" for name, value in each.params.items())
            typer.echo(f"trial {each.number} token {each.lease.token} seed {each.seed} {params}")
        if not found.trials:
            say(f"nothing to train: {found.why_empty} (the job is {found.job_state})")
    if not found.trials:
        raise typer.Exit(1)


def tell(
    job_id: JobId,
    number: Number,
    token: Token,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="METRIC=NUMBER…", help="What was measured, e.g. val_loss=0.4.")
    ] = None,
    step: Annotated[int | None, typer.Option(help="A report of this step; without it the trial has ended so.")] = None,
    infeasible: Annotated[
        Literal["diverged", "oom"] | None, typer.Option(help="It can't be trained: the search keeps away from there.")
    ] = None,
    pruned: Annotated[bool, typer.Option("--pruned", help="A rule of yours has ended it as hopeless.")] = False,
    failed: Annotated[str | None, typer.Option(metavar="WHY", help="Something else broke.")] = None,
    wait_s: Annotated[float, typer.Option(help="Seconds to wait for a verdict that covers this report.")] = 0.0,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Report on a trial that trains here (--step), or tell how it has ended; a report to stop exits with 1."""
    measured = read_values(values or [])
    if step is not None:
        with connected(server) as client:
            report: dict[str, JsonValue] = {"step": step, "values": {**measured}}
            verdict = client.report_trial(job_id, number, lease_token=token, reports=[report], wait_s=wait_s)
        if as_json:
            print_json(verdict)
        else:
            typer.echo(f"stop: {verdict.reason}" if verdict.should_stop else "go on")
        raise typer.Exit(1 if verdict.should_stop else 0)
    with connected(server) as client:
        ended = client.complete_trial(
            job_id,
            number,
            lease_token=token,
            values=None if infeasible or failed or pruned else measured,
            state="infeasible" if infeasible else "failed" if failed else "pruned" if pruned else None,
            reason=infeasible,
            error={"type": "Error", "message": failed} if failed else None,
        )
    if as_json:
        print_json(ended)
    else:
        typer.echo(f"trial {ended.number} is {ended.state}")
