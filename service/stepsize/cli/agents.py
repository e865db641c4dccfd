"""`stepsize mcp`: the service as tools for agents. What serves them is imported inside: it is an extra."""

from typing import Annotated

import typer

from stepsize.cli.connection import SERVER, Server
from stepsize.cli.printing import fail, say
from stepsize.client import Client
from stepsize.extras import NEEDS, how_to_install
from stepsize.hosts import is_loopback


def mcp(
    read_only: Annotated[bool, typer.Option("--read-only", help="Offer only tools that change nothing.")] = False,
    http: Annotated[bool, typer.Option("--http", help="Serve HTTP at /mcp, not standard input and output.")] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="With --http: the port to listen on.")] = 8001,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="With --http: a name by which clients reach it, beside its address."),
    ] = None,
    server: Server = SERVER,
) -> None:
    """Let agents use a running service: tools of the Model Context Protocol, at most twelve."""
    try:
        from stepsize.agents.server import make_server, serve_http, serve_stdio  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        fail(f"mcp needs: {how_to_install(NEEDS['mcp'])}  ({error.name} is missing)")
    with Client(server) as client:
        tools = make_server(client, read_only=read_only)
        if not http:
            serve_stdio(tools)
            return
        if not is_loopback(host):
            say(f"warning: whoever reaches {host}:{port} can use the service; there is no password")
        say(f"agents connect to http://{host}:{port}/mcp")
        serve_http(tools, host=host, port=port, names=allow_host or [])
