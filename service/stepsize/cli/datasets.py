"""Commands about data sets."""

from pathlib import Path
from typing import Annotated

import typer

from stepsize.cli.connection import SERVER, AsJson, Server, connected
from stepsize.cli.printing import fail, print_datasets, print_json

_FORMATS = {".npz": "npz", ".csv": "csv", ".parquet": "parquet", ".zip": "images"}


def datasets(server: Server = SERVER, as_json: AsJson = False) -> None:
    """List data sets: built-in ones and your own."""
    with connected(server) as client:
        found = client.datasets()
    if as_json:
        print_json(found)
    else:
        print_datasets(found)


def upload(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help=".npz, .csv, .parquet, or a .zip of CLASS/IMAGE.png.")
    ],
    name: Annotated[str | None, typer.Option(help="What jobs call it; left out: the file's name.")] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="What to predict; left out: target, label, or the last column.")
    ] = None,
    target_kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="What that is: classes or number; left out: what its values look like."),
    ] = None,
    server: Server = SERVER,
    as_json: AsJson = False,
) -> None:
    """Upload a data set."""
    ending = file.suffix.lower()
    if ending not in _FORMATS:
        fail(f"{file.name} is none of {', '.join(_FORMATS)}")
    with connected(server) as client:
        uploaded = client.upload(
            file, name=name or file.stem, format=_FORMATS[ending], target=target, target_kind=target_kind
        )
    if as_json:
        print_json(uploaded)
    else:
        print_datasets([uploaded])
