"""The tools served over the Model Context Protocol: on standard input and output, or HTTP. Needs the extra `mcp`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata, func_metadata
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolResult, InputRequiredResult, ToolAnnotations

from stepsize import __version__
from stepsize.agents.arguments import wrong_arguments
from stepsize.agents.tools import Tool, Tools, WrongCallError, mend
from stepsize.client import Client, ClientError
from stepsize.hosts import is_loopback
from stepsize.spec.hints import hint

_INSTRUCTIONS = (
    "Tunes hyperparameters, the learning rate above all. The way: catalogue (what can be trained), validate (a job and "
    "its cost), submit, wait, answer. Believe the answer's interval and its words, not the best trial: that one owes "
    "much to luck. Where an answer says that there are not enough trials, say so."
)


def make_server(client: Client, *, read_only: bool) -> MCPServer:
    """Return a server with the tools on one service.

    Args:
        read_only: offer only what changes nothing.
    """
    server = _Server()
    tools = Tools(client)
    for tool in tools.reading():
        server.add(tool, ToolAnnotations(read_only_hint=True, open_world_hint=False))
    for tool in [] if read_only else tools.writing():
        ends = tool.__name__ == "control"
        server.add(tool, ToolAnnotations(read_only_hint=False, destructive_hint=ends, open_world_hint=False))
    return server


def serve_stdio(server: MCPServer) -> None:
    """Serve whoever started this process, until it closes our standard input."""
    server.run("stdio")


def serve_http(server: MCPServer, *, host: str, port: int, names: list[str]) -> None:
    """Serve HTTP at /mcp, until the process is ended.

    Args:
        names: by which clients reach it, beside the address it listens on; pages from elsewhere are refused.
    """
    server.run("streamable-http", host=host, port=port, transport_security=security(host, names))


def security(host: str, names: list[str]) -> TransportSecuritySettings:
    """Return which `Host` and `Origin` headers are answered: those of the address and of these names, at any port."""
    own = ["127.0.0.1", "localhost", "[::1]"] if is_loopback(host) else [host]
    hosts = [form for name in [*own, *names] for form in (name, f"{name}:*")]
    origins = [f"{scheme}://{name}" for scheme in ("http", "https") for name in hosts]
    return TransportSecuritySettings(enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins)


class _Server(MCPServer):
    """Says what is wrong with a tool's arguments in our words; the protocol's library speaks Pydantic's."""

    def __init__(self) -> None:
        super().__init__("stepsize", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")
        self._taken: dict[str, FuncMetadata] = {}

    def add(self, tool: Tool, annotations: ToolAnnotations) -> None:
        """Offer a tool."""
        self._taken[tool.__name__] = func_metadata(tool, structured_output=False)
        self.add_tool(_telling(tool), annotations=annotations, structured_output=False)

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        taken = self._taken.get(name)
        if taken is None:
            raise ToolError(f"there is no tool {name!r}; {hint(name, self._taken)}")
        if wrong := wrong_arguments(taken.arg_model, taken.pre_parse_json(arguments)):
            raise ToolError("\n".join([*wrong, "mend these arguments and call again"]))
        return await super().call_tool(name, arguments, context)


def _telling(tool: Tool) -> Callable[..., str]:
    """Return a tool whose refusals reach the model as text with the mend."""

    @wraps(tool)
    def told(*args: object, **kwargs: object) -> str:
        try:
            return tool(*args, **kwargs)
        except (ClientError, WrongCallError) as error:
            raise ToolError(mend(error)) from error

    return told
