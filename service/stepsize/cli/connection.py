"""How commands reach the service, and what they say when they can't."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from stepsize.cli.printing import fail
from stepsize.client import DEFAULT_SERVER, ApiError, Client, ServerUnreachableError, WrongValueError
from stepsize.environment import SERVER as SERVER_VARIABLE
from stepsize.environment import misspelt_server

Server = Annotated[str, typer.Option(envvar=SERVER_VARIABLE, help="Where the service is.", metavar="URL")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `stepsize jobs` lists it.")]

SERVER = DEFAULT_SERVER
_UNREACHABLE = "urn:stepsize:unreachable"


@contextmanager
def connected(server: str) -> Iterator[Client]:
    """Give a client; a refusal or an unreachable service becomes its message on stderr and exit code 1."""
    if server == SERVER and (misspelt := misspelt_server(os.environ)):
        raise typer.BadParameter(misspelt, param_hint="environment")
    try:
        with Client(server) as client:
            yield client
    except WrongValueError as error:
        raise typer.BadParameter(str(error)) from None
    except ServerUnreachableError as error:
        said = f"{error}; {error.mend}"
        fail(said, problem={"type": _UNREACHABLE, "title": "Service unreachable", "detail": said})
    except ApiError as error:
        fail(str(error), problem=error.problem.model_dump(mode="json", exclude_unset=True))
