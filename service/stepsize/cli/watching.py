"""Live progress of a job: a bar on a terminal, a line per change elsewhere."""

import json

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stepsize.cli.answers import answer_lines
from stepsize.cli.printing import console, describe_best, duration, say, short_answer, trials_done, with_reason
from stepsize.client import Client, Job

_COUNTED = ("running", "pruned", "infeasible", "failed", "cancelled")


def watch_job(client: Client, job_id: str, *, quiet: bool = False) -> Job:
    """Show a job's progress until it has finished and return it; Ctrl-C leaves the job running.

    Args:
        quiet: show nothing, only wait.
    """
    screen = console()
    try:
        if quiet:
            return client.wait(job_id)
        return _watch_live(client, job_id, screen) if screen.is_terminal else _watch_lines(client, job_id)
    except KeyboardInterrupt:
        say(f"\n{job_id} goes on; `stepsize watch {job_id}` shows it again")
        raise typer.Exit(1) from None


def watch_all(client: Client, *, as_json: bool) -> None:
    """Print a line for each change of any job, until Ctrl-C."""
    try:
        for event in client.all_events():
            if as_json:
                typer.echo(json.dumps(event.data, ensure_ascii=False))
                continue
            progress = event.data.get("progress")
            counts = progress.get("counts") if isinstance(progress, dict) else None
            told = {state: n for state, n in counts.items() if n} if isinstance(counts, dict) else {}
            done = ", ".join(f"{n} {state}" for state, n in told.items())
            typer.echo(f"{event.data.get('id')}: {event.data.get('state')}{f' · {done}' if done else ''}")
    except KeyboardInterrupt:
        say("")


def _watch_live(client: Client, job_id: str, screen: Console) -> Job:
    updates = client.follow(job_id)
    job = next(updates)
    with Live(_picture(job), console=screen, refresh_per_second=10) as live:
        for job in updates:
            live.update(_picture(job))
    return job


def _watch_lines(client: Client, job_id: str) -> Job:
    shown: tuple[str, int, str] | None = None
    advice: str | None = None
    for job in client.follow(job_id):
        milestone = (job.state, job.progress.n_finished, short_answer(job))
        if milestone != shown:
            if job.is_finished:
                typer.echo("\n".join(answer_lines(job)))
            answer = f"answer {short_answer(job)} · " if short_answer(job) else ""
            typer.echo(f"{job.state} {_progress_line(job)} · {answer}{describe_best(job)}")
        shown = milestone
        if job.advice and job.advice != advice and not job.is_finished:
            say(job.advice)
        advice = job.advice
    return job


def _picture(job: Job) -> Group:
    row = Table.grid(padding=(0, 1))
    row.add_row(
        Text(job.name or job.id, style="bold"),
        Text(with_reason(job.state, job.reason)),
        ProgressBar(total=1.0, completed=fraction_done(job), width=30),
        Text(_progress_line(job)),
    )
    lines: list[Table | Text] = [row, *map(Text, answer_lines(job)), Text(f"best  {describe_best(job)}")]
    if job.error:
        lines.append(Text(job.error, style="red"))
    if job.advice and not job.is_finished:
        lines.append(Text(job.advice, style="yellow"))
    return Group(*lines)


def _progress_line(job: Job) -> str:
    counts = job.progress.counts
    parts = [f"{trials_done(job)} trials"]
    parts += [f"{counts[state]} {state}" for state in _COUNTED if counts.get(state)]
    if job.progress.is_answering:
        parts.append("its answer is being computed")
    elif job.progress.eta_s is not None and not job.is_finished:
        parts.append(f"about {duration(max(1, round(job.progress.eta_s)))} left")
    return " · ".join(parts)


def fraction_done(job: Job) -> float:
    """Return the share of the budget that is spent, 1 for a completed job (its target may end it early)."""
    if job.state == "completed":
        return 1.0
    if job.progress.fraction is not None:
        return job.progress.fraction
    return job.progress.n_finished / job.progress.max_trials if job.progress.max_trials else 0.0
