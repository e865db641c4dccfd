"""How commands reach the service, and what they say when they can't."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from stepsize.cli.printing import fail
from stepsize.client import DEFAULT_SERVER, ApiError, Client, ServerUnreachableError
from stepsize.environment import SERVER as SERVER_VARIABLE
from stepsize.environment import misspelt_server

Server = Annotated[str, typer.Option(envvar=SERVER_VARIABLE, help="Where the service is.", metavar="URL")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `stepsize jobs` lists it.")]

SERVER = DEFAULT_SERVER


@contextmanager
def connected(server: str) -> Iterator[Client]:
    """Give a client; a refusal or an unreachable service becomes its message on stderr and exit code 1."""
    if server == SERVER and (misspelt := misspelt_server(os.environ)):
        raise typer.BadParameter(misspelt, param_hint="environment")
    with Client(server) as client:
        try:
            yield client
        except ServerUnreachableError as error:
            fail(f"{error}; start one with `stepsize up`, or name its address with --server or STEPSIZE_SERVER")
        except ApiError as error:
            fail(str(error))
