"""Files that commands write."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stepsize.cli.printing import fail, say
from stepsize.client import ImageFormat, Theme
from stepsize.client.files import complete_file

Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here; `-` is standard output.")
]
Themes = Annotated[Theme, typer.Option(help="Of a figure: the colours of the page it stands on.")]


def write_file(content: bytes, file: Path | None, *, default: str) -> None:
    """Write a file that is complete or isn't there, and say so; under its default name in the current directory."""
    if file == Path("-"):
        sys.stdout.buffer.write(content)
        return
    path = file or Path(default)
    try:
        with complete_file(path) as target:
            target.write(content)
    except OSError as error:
        fail(f"{path} can't be written: {error.strerror or error}")
    say(f"wrote {path}")


def image_format_of(file: Path | None) -> ImageFormat:
    """Return the format that a figure's name asks for, SVG where it has no ending.

    Raises:
        typer.BadParameter: figures have no such format.
    """
    match file and file.suffix.lower():
        case ".png":
            return "png"
        case ".svg" | "" | None:
            return "svg"
        case ending:
            raise typer.BadParameter(f"no figure ends in {ending}; write .svg or .png", param_hint="--output")
