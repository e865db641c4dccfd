"""Commands about what came out: curves, history, fronts, importances, plots."""

import json
from typing import Annotated, Literal

import typer

from stepsize.cli.connection import SERVER, AsJson, JobId, Server, connected
from stepsize.cli.files import Output, Themes, image_format_of, write_file
from stepsize.cli.printing import describe_values, estimate, print_json, print_rows, print_trials, say, with_reason
from stepsize.client import ImageFormat, PlotKind
from stepsize.spec.wording import counted

Format = Annotated[ImageFormat | None, typer.Option("--format", help="What FILE ends with by default, else svg.")]


def curves(
    job_id: JobId,
    metric: Annotated[str | None, typer.Option(help="The first objective's by default.")] = None,
    pick: Annotated[Literal["latest", "best"], typer.Option(help="Which trials.")] = "latest",
    n: Annotated[int, typer.Option("-n", min=1, help="How many trials.")] = 10,
    numbers: Annotated[list[int] | None, typer.Option("--trial", help="These trials; repeat it for more.")] = None,
    max_points: Annotated[int, typer.Option(min=2, help="Most points of a curve.")] = 100,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Show learning curves: the first and last value of each trial; all points with --json."""
    with connected(server) as client:
        found = client.curves(job_id, metric=metric, max_points=max_points, pick=pick, n=n, numbers=numbers or ())
    if as_json:
        print_json(found)
        return
    rows = [
        (
            curve.number,
            with_reason(curve.state, curve.reason),
            describe_values(curve.params),
            curve.n_reports,
            curve.values[0] if curve.values else None,
            curve.values[-1] if curve.values else None,
        )
        for curve in found.curves
    ]
    print_rows(
        ("trial", "state", "parameters", "reports", f"first {found.metric}", "last"), rows, otherwise="no curves"
    )


def history(
    job_id: JobId,
    max_points: Annotated[
        int | None,
        typer.Option(min=1, max=5000, help="Most trials; of more every improvement and a spread. Else 1000."),
    ] = None,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """List the objective of each trial in turn, and the best so far."""
    with connected(server) as client:
        found = client.history(job_id, max_points=max_points)
    if as_json:
        print_json(found)
        return
    rows = list(zip(found.numbers, found.states, found.values, found.best, strict=True))
    print_rows(("trial", "state", found.metric, "best so far"), rows, otherwise="no trials")


def provenance(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB…", help="One job; several are compared.")],
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Show the code, packages and machines that a job's trials ran with, or those of several, and where they differ."""
    with connected(server) as client:
        found = {job_id: client.provenance(job_id) for job_id in job_ids}
    first, *others = found.values()
    unlike = first.differences_with(*others)
    if as_json and len(found) == 1:
        print_json(*found.values())
        return
    if as_json:
        jobs = {job_id: one.model_dump(mode="json", exclude_unset=True) for job_id, one in found.items()}
        typer.echo(json.dumps({"jobs": jobs, "differences": unlike}, indent=2, ensure_ascii=False))
        return
    for job_id, one in found.items():
        of_job = f"{job_id}: " if len(found) > 1 else ""
        for share in one.items:
            typer.echo(f"{of_job}{counted(share.n_trials, 'trial')}, the first {share.first_trial}:")
            for line in share.provenance.lines():
                typer.echo(f"  {line}")
        if not one.items:
            say(f"{of_job}nothing is known of where its trials came from")
    for name, values in unlike.items():
        typer.echo(f"differs: {name}: {', '.join(values)}")


def pareto(job_id: JobId, server: Server = SERVER, as_json: AsJson = False) -> None:
    """List the trials that no other trial beats in every objective."""
    with connected(server) as client:
        found = client.pareto(job_id)
    if as_json:
        print_json(found)
    elif found.items:
        print_trials(found.items)
    else:
        say("no trial has completed")


def importances(job_id: JobId, server: Server = SERVER, as_json: AsJson = False) -> None:
    """Say which parameters matter."""
    with connected(server) as client:
        found = client.importances(job_id)
    if as_json:
        print_json(found)
        return
    rows = [(item.parameter, estimate(item.importance)) for item in found.items]
    print_rows(("parameter", "importance"), rows, otherwise="nothing to say yet")
    if found.caveat:
        say(found.caveat)


def plot(
    job_id: JobId,
    kind: Annotated[PlotKind, typer.Argument(help="What to draw.")],
    file: Output = None,
    image_format: Format = None,
    theme: Themes = "light",
    server: Server = SERVER,
) -> None:
    """Draw a job and save the figure, as SVG or PNG."""
    wanted = image_format or image_format_of(file)
    with connected(server) as client:
        image = client.plot(job_id, kind, image_format=wanted, theme=theme)
    write_file(image, file, default=f"{job_id}-{kind}.{wanted}")
