"""Commands about data sets."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stepsize.cli.connection import SERVER, AsJson, Server, connected
from stepsize.cli.printing import fail, print_datasets, print_json, say


def datasets(server: Server = SERVER, as_json: AsJson = False) -> None:
    """List data sets: built-in ones and your own."""
    with connected(server) as client:
        found = client.datasets()
    if as_json:
        print_json(found)
    else:
        print_datasets(found)


def dataset(
    name: Annotated[str, typer.Argument(help="As `stepsize datasets` lists it.")],
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Show one data set."""
    with connected(server) as client:
        found = client.dataset(name)
    if as_json:
        print_json(found)
    else:
        print_datasets([found])


def delete_dataset(
    name: Annotated[str, typer.Argument(help="As `stepsize datasets` lists it.")], server: Server = SERVER
) -> None:
    """Delete a data set of your own."""
    with connected(server) as client:
        client.delete_dataset(name)
    say(f"{name} is deleted")


def upload(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help=".npz, .csv, .parquet, or a .zip of CLASS/IMAGE.png.")
    ],
    name: Annotated[str | None, typer.Option(help="What jobs call it; left out: the file's name.")] = None,
    file_format: Annotated[
        Literal["npz", "csv", "parquet", "images"] | None,
        typer.Option("--format", help="What FILE ends with by default; images is a .zip of CLASS/IMAGE.png."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="What to predict; left out: target, label, or the last column.")
    ] = None,
    target_kind: Annotated[
        Literal["classes", "number"] | None,
        typer.Option(help="What that is; left out: what its values look like."),
    ] = None,
    words: Annotated[
        str | None, typer.Option("--help-text", metavar="TEXT", help="What it is, in a line that `datasets` shows.")
    ] = None,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Upload a data set."""
    with connected(server) as client:
        try:
            uploaded = client.upload(
                file, name=name, format=file_format, target=target, target_kind=target_kind, help=words
            )
        except ValueError as error:
            fail(f"{error} with --format")
    if as_json:
        print_json(uploaded)
    else:
        print_datasets([uploaded])
