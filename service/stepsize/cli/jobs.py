"""Commands about jobs and trials: everything here is one HTTP call or a few."""

import json
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from stepsize.cli.answers import answer_lines
from stepsize.cli.connection import SERVER, AsJson, JobId, Server, connected
from stepsize.cli.conversion import ForeignMetric, ForeignTrainer, job_of, wanted_of
from stepsize.cli.failures import explain_end, say_where_logs_are, troubles
from stepsize.cli.job_file import read_job
from stepsize.cli.printing import print_jobs, print_json, print_trials, say, with_reason
from stepsize.cli.watching import watch_all, watch_job
from stepsize.client import Client, Control, Job, Trial
from stepsize.spec.wording import counted

Number = Annotated[
    int, typer.Argument(min=0, metavar="TRIAL", help="A trial's number, as `stepsize trials JOB` lists it.")
]
MaybeNumber = Annotated[int | None, typer.Argument(min=0, metavar="TRIAL", help="Only this trial of the job.")]
_ALL_TRIALS = 50
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many; all by default.")]


def submit(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A job in JSON or YAML, or what `convert` takes; `-` reads standard input."
        ),
    ],
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Show progress until it has finished; 1 if it failed, was cancelled or none of its trials completed.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be recorded, defaults filled in.")
    ] = False,
    trainer: ForeignTrainer = None,
    metric: ForeignMetric = None,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Submit a job and print its id."""
    spec = job_of(read_job(file), file, wanted_of(trainer, metric))
    if dry_run:
        with connected(server) as client:
            typer.echo(json.dumps(client.dry_run(spec), indent=2, ensure_ascii=False))
        return
    with connected(server) as client:
        job = client.submit(spec)
        for warning in job.warnings:
            say(f"warning: {warning}")
        if wait:
            job = watch_job(client, job.id, quiet=as_json)
            explain_end(client, job)
    if as_json:
        print_json(job)
    elif not wait:
        typer.echo(job.id)
        say(f"follow it with `stepsize watch {job.id}`")
    if wait:
        _exit_unless_it_went_well(job)


def watch(
    job_id: Annotated[
        str | None, typer.Argument(metavar="JOB", help="A job's id; left out: every job that changes, until Ctrl-C.")
    ] = None,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Show a job's progress until it has finished; 1 as for `submit --wait`. Ctrl-C leaves it running."""
    if job_id is None:
        with connected(server) as client:
            watch_all(client, as_json=as_json)
        return
    with connected(server) as client:
        if as_json:
            for job in client.follow(job_id):
                print_json(job, indent=None)
        else:
            job = watch_job(client, job_id)
        explain_end(client, job)
    _exit_unless_it_went_well(job)


def jobs(
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    name: Annotated[str | None, typer.Option(help="Only jobs with this name.")] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY:VALUE", help="Only jobs with this label; repeat it to AND more."),
    ] = None,
    trainer: Annotated[str | None, typer.Option(help="Only jobs of this trainer.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="created_at, started_at, finished_at, name, priority or state; - in front for descending. Left out: "
            "newest first."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """List jobs."""
    with connected(server) as client:
        found = list(client.jobs(state=state, name=name, label=labels or (), trainer=trainer, sort=sort, limit=limit))
    if as_json:
        print_json(found)
    elif found:
        print_jobs(found)
        for job in found:
            for line in troubles(job):
                say(f"{job.id}: {line}")
    else:
        say("no jobs")


def trials(
    job_id: Annotated[
        str | None, typer.Argument(metavar="JOB", help="A job's id; left out: the trials of all jobs.")
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="CONDITION", help="E.g. 'values.val_accuracy>0.9'; repeat it to AND more."),
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="number, duration_s, params.NAME or values.NAME; - in front for descending.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="Only trials in this state.")] = None,
    limit: Limit = None,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """List a job's trials, or those of all jobs, newest first (then at most 50 unless --limit says more)."""
    with connected(server) as client:
        if job_id is None:
            asked = client.all_trials(state=state, filters=filters or [], sort=sort, limit=limit or _ALL_TRIALS)
        else:
            asked = client.trials(job_id, state=state, filters=filters or [], sort=sort, limit=limit)
        found = list(asked)
    if as_json:
        print_json(found)
    elif found:
        print_trials(found, with_jobs=job_id is None)
        say_where_logs_are(found)
    else:
        say("no trials")


def log(
    job_id: JobId,
    number: Number,
    tail: Annotated[int | None, typer.Option(min=1, help="Only this many of the last lines.")] = None,
    server: Server = SERVER,
) -> None:
    """Print what a trial has printed, its traceback included."""
    with connected(server) as client:
        text = client.log(job_id, number, tail=tail)
    if text:
        typer.echo(text, nl=False)
    else:
        say(f"trial {number} has printed nothing")


def best(
    job_id: JobId,
    n: Annotated[int, typer.Option("-n", min=1, help="How many, best first.")] = 1,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Show a job's answer, then its best trials; with --json as `answer` and `trials`. 1 while there is no trial."""
    with connected(server) as client:
        job = client.job(job_id)
        found = client.best(job_id, n=n)
    if as_json:
        print_json({"answer": job.answer, "trials": found})
    else:
        for line in answer_lines(job):
            typer.echo(line)
        if found:
            typer.echo(f"\n{_ranking(found)}:")
            print_trials(found)
        else:
            say("no feasible trial yet")
    if not found:
        raise typer.Exit(1)


def _ranking(found: Sequence[Trial]) -> str:
    """Return by what the best trials were ranked: those trained with several seeds go first, by their means."""
    best = found[0].replicates
    if best is None or best.mean.value is None:
        return "best trial, luck included" if len(found) == 1 else "best trials, luck included"
    several = f"best by the mean of {counted(best.n, 'training')}, {best.mean.value:.4g}"
    return f"{several}; the trial that stands for them" if len(found) == 1 else f"{several}; then by single trials"


def pause(job_id: JobId, server: Server = SERVER, as_json: AsJson = False) -> None:
    """Start no new trial; running ones finish."""
    _control(job_id, "pause", server, as_json)


def resume(job_id: JobId, server: Server = SERVER, as_json: AsJson = False) -> None:
    """Go on with a paused job."""
    _control(job_id, "resume", server, as_json)


def stop(job_id: JobId, server: Server = SERVER, as_json: AsJson = False) -> None:
    """Let running trials finish, then complete the job."""
    _control(job_id, "stop", server, as_json)


def cancel(job_id: JobId, number: MaybeNumber = None, server: Server = SERVER, as_json: AsJson = False) -> None:
    """End running trials now, or one of them; results so far are kept."""
    if number is None:
        _control(job_id, "cancel", server, as_json)
    else:
        _control_trial(lambda client: client.cancel_trial(job_id, number), server, as_json)


def retry(job_id: JobId, number: MaybeNumber = None, server: Server = SERVER, as_json: AsJson = False) -> None:
    """Run a job's failed trials again, or one unsuccessful trial, once what they failed of is mended."""
    if number is None:
        _control(job_id, "retry-failed", server, as_json)
    else:
        _control_trial(lambda client: client.retry_trial(job_id, number), server, as_json)


def _control_trial(act: Callable[[Client], Trial], server: str, as_json: bool) -> None:
    with connected(server) as client:
        trial = act(client)
    if as_json:
        print_json(trial)
    else:
        typer.echo(f"{trial.job_id} {trial.number}: {with_reason(trial.state, trial.reason)}")


def _control(job_id: str, action: Control, server: str, as_json: bool) -> None:
    with connected(server) as client:
        job = client.control(job_id, action)
    if as_json:
        print_json(job)
    else:
        typer.echo(f"{job.id}: {with_reason(job.state, job.reason)}" + _pending(job))


def _pending(job: Job) -> str:
    """Say what has been asked for but isn't so yet."""
    reached = {
        "run": {"queued", "running"},
        "pause": {"paused"},
        "stop": {"stopping", "completed"},
        "cancel": {"cancelled"},
    }
    return "" if job.is_finished or job.state in reached.get(job.desired, ()) else f", {job.desired} asked for"


def _exit_unless_it_went_well(job: Job) -> None:
    if job.state != "completed" or job.is_fruitless:
        raise typer.Exit(1)
