"""How commands reach the service, and what they say when they can't."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from stepsize.cli.printing import fail, print_json
from stepsize.client import DEFAULT_SERVER, ApiError, Client, ServerUnreachableError
from stepsize.environment import SERVER as SERVER_VARIABLE
from stepsize.environment import misspelt_server

Server = Annotated[str, typer.Option(envvar=SERVER_VARIABLE, help="Where the service is.", metavar="URL")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `stepsize jobs` lists it.")]

SERVER = DEFAULT_SERVER


_UNREACHABLE = "urn:stepsize:unreachable"


@contextmanager
def connected(server: str, *, as_json: bool = False) -> Iterator[Client]:
    """Give a client; a refusal or an unreachable service becomes its message on stderr and exit code 1.

    Args:
        as_json: the problem document goes to standard output too: who reads JSON there gets JSON.
    """
    if server == SERVER and (misspelt := misspelt_server(os.environ)):
        raise typer.BadParameter(misspelt, param_hint="environment")
    with Client(server) as client:
        try:
            yield client
        except ServerUnreachableError as error:
            mend = "start one with `stepsize up`, or name its address with --server or STEPSIZE_SERVER"
            if as_json:
                unreachable = {"type": _UNREACHABLE, "title": "Service unreachable", "detail": f"{error}; {mend}"}
                typer.echo(json.dumps(unreachable, indent=2, ensure_ascii=False))
            fail(f"{error}; {mend}")
        except ApiError as error:
            if as_json:
                print_json(error.problem)
            fail(str(error))
