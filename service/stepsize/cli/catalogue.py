"""Commands about what a job may name, and who is there to work."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from stepsize.cli.connection import SERVER, AsJson, Server, connected
from stepsize.cli.files import Output, Themes, image_format_of, write_file
from stepsize.cli.pairs import read_params
from stepsize.cli.printing import describe_values, print_json, print_rows
from stepsize.client import Client, SpecEntry


def trainers(server: Server = SERVER, as_json: AsJson = False) -> None:
    """List the trainers: built-in ones and those that workers offer."""
    with connected(server) as client:
        found = client.trainers()
    if as_json:
        print_json(found)
        return
    rows = [
        (entry.name, entry.version, ", ".join(entry.default_search_space), len(entry.workers), entry.help)
        for entry in found
    ]
    print_rows(("name", "version", "searches by default", "workers", "help"), rows)


def samplers(server: Server = SERVER, as_json: AsJson = False) -> None:
    """List the samplers."""
    _entries(lambda client: client.samplers(), server, as_json)


def pruners(server: Server = SERVER, as_json: AsJson = False) -> None:
    """List the pruners."""
    _entries(lambda client: client.pruners(), server, as_json)


def optimizers(server: Server = SERVER, as_json: AsJson = False) -> None:
    """List the optimisers."""
    _entries(lambda client: client.optimizers(), server, as_json)


def schedules(server: Server = SERVER, as_json: AsJson = False) -> None:
    """List the schedules; `stepsize schedule NAME` shows how one moves."""
    _entries(lambda client: client.schedules(), server, as_json)


def schedule(
    name: Annotated[str, typer.Argument(help="As `stepsize schedules` lists it.")],
    params: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE…", help="Its own parameters, e.g. gamma=0.8.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="The highest rate.")] = 0.01,
    steps: Annotated[int, typer.Option(min=1, help="Length of the training.")] = 10,
    plot: Output = None,
    theme: Themes = "light",
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Show how a schedule moves the learning rate; with --output as a figure."""
    own = {key: str(value) for key, value in read_params(params or []).items()}
    with connected(server) as client:
        if plot is not None:
            image = client.plot_schedule(
                name,
                learning_rate=learning_rate,
                steps=steps,
                params=own,
                image_format=image_format_of(plot),
                theme=theme,
            )
        else:
            preview = client.preview_schedule(name, learning_rate=learning_rate, steps=steps, params=own)
    if plot is not None:
        write_file(image, plot, default=f"{name}.svg")
    elif as_json:
        print_json(preview)
    else:
        print_rows(("step", "learning rate"), [(point.step, point.learning_rate) for point in preview.points])


def workers(server: Server = SERVER, as_json: AsJson = False) -> None:
    """List the workers: their slots, and what runs where."""
    with connected(server) as client:
        found = client.workers()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            worker.id,
            f"{worker.host} ({worker.pid})",
            "alive" if worker.alive else f"last seen {worker.last_seen:%Y-%m-%d %H:%M:%S}",
            ", ".join(slot.device for slot in worker.slots),
            ", ".join(f"{trial.job_id} {trial.number}" for trial in worker.running) or "nothing",
            worker.version,
        )
        for worker in found
    ]
    print_rows(("worker", "host", "state", "slots", "runs", "version"), rows, otherwise="no workers")


def health(server: Server = SERVER, as_json: AsJson = False) -> None:
    """Say whether the service and its database are of use; 1 if not. `stepsize doctor` looks closer."""
    with connected(server) as client:
        client.is_alive()
        found = client.is_ready()
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{client.base_url} is {found.status}")


def metrics(server: Server = SERVER) -> None:
    """Print what monitoring reads at /metrics, in Prometheus' text format."""
    with connected(server) as client:
        typer.echo(client.metrics(), nl=False)


def _entries(read: Callable[[Client], Sequence[SpecEntry]], server: str, as_json: bool) -> None:
    with connected(server) as client:
        found = read(client)
    if as_json:
        print_json(found)
        return
    rows = [(entry.name, describe_values(_defaults(entry)), entry.help) for entry in found]
    print_rows(("name", "parameters and defaults", "help"), rows, otherwise="none")


def _defaults(entry: SpecEntry) -> dict[str, str]:
    properties = entry.params_schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {
        name: str(schema.get("default", ""))
        for name, schema in properties.items()
        if isinstance(schema, dict) and name != "name"
    }
