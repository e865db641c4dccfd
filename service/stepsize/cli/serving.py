"""The API under uvicorn, with a worker beside it for `stepsize up`: one listening socket, orderly ends."""

import contextlib
import ctypes
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from stepsize.api.app import create_app
from stepsize.api.connections import ImpatientProtocol
from stepsize.api.dependencies import Site
from stepsize.cli.printing import fail, say
from stepsize.cli.schema import make_data_dir, migrate, warn_without_tables
from stepsize.cli.supervisor import Supervisor
from stepsize.logs import configure_logs
from stepsize.settings import Settings

_DRAIN_S = 3
"""Open requests get this long at the end."""
_KEEP_ALIVE_S = 75
"""How long a connection may idle: longer than polls and load balancers do, which would meet its end as an error."""
_SWITCH_S = 0.0005
"""How long a thread that computes may keep the event loop waiting, each time that it has something to do; Python's own
5 ms are longer than most answers take."""
_M_ARENA_MAX, _N_ARENAS = -8, 2
"""glibc's name for the most heaps that threads may have; left to itself, it gives each of forty threads one."""
_WORKER_STOP_S = 15.0
_SEND_BUFFER_BYTES = 128 << 10
"""What the kernel holds of an answer that its reader has not taken yet."""


def serve_api(settings: Settings, host: str, port: int) -> None:
    """Run the API until a stop signal."""
    configure_logs(settings.log_level)
    make_data_dir(settings)
    with _listening(host, port) as listener:
        warn_without_tables(settings)
        server = _Server(settings, host, listener)
        with _stop_signals(server.request_stop):
            server.serve_until_stopped()


def serve_all(settings: Settings, host: str, port: int, *, worker: Supervisor) -> None:
    """Migrate, then run the API and a worker until a stop signal."""
    configure_logs(settings.log_level)
    with _listening(host, port) as listener:
        migrate(settings)
        server = _Server(settings, host, listener)

        def stop_both() -> None:
            worker.request_stop()
            server.request_stop()

        with _stop_signals(stop_both):
            worker.start()
            try:
                server.serve_until_stopped()
            finally:
                worker.stop(timeout_s=_WORKER_STOP_S)


class _Server(uvicorn.Server):
    """uvicorn, ended by `request_stop`: signals are handled by whoever started it, because more than the API ends."""

    def __init__(self, settings: Settings, host: str, listener: socket.socket) -> None:
        app = create_app(settings, listening_on=host)
        self._site: Site = app.state.site
        super().__init__(
            uvicorn.Config(
                app,
                http=ImpatientProtocol,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_DRAIN_S,
            )
        )
        self._listener = listener

    def serve_until_stopped(self) -> None:
        """Answer requests until `request_stop`; ends the command with 1 where the API can't start."""
        sys.setswitchinterval(_SWITCH_S)
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _N_ARENAS)
        self.run(sockets=[self._listener])
        if not self.started:
            fail("the API could not be started; the lines above say why")

    def request_stop(self) -> None:
        """End in order; asked a second time, at once."""
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signal handlers alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start answering and say where."""
        url = _url_of(self._listener)
        await super().startup(sockets)
        # What has been imported lives as long as the process: to walk it in each full collection would stop all answers
        # for a tenth of a second.
        gc.collect()
        gc.freeze()
        if self.started:
            say(f"Stepsize answers at {url} (documentation of its API at {url}/docs)")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what requests wait for first: uvicorn waits for them before it tells the application."""
        self._site.notifier.end_streams()
        self._site.job_feed.end()
        self._site.analyst.end()
        await super().shutdown(sockets)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Give a listening socket; port 0 takes any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason, _, _ = str(error.strerror).partition(" (while")  # Python adds the address we name already
        fail(f"can't listen on {host} port {port}: {reason}; choose another with --host or --port")
    with listener:
        # Accepted connections inherit it. asyncio sets it only on sockets that name their protocol, which this doesn't:
        # every answer but a connection's first would wait 40 ms for the client's delayed acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Left to itself the kernel takes up to 4 MiB for a reader that has stopped: whole exports, made for nobody.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        yield listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _stop_signals(on_stop: Callable[[], None]) -> Iterator[None]:
    """Call `on_stop` at SIGINT, SIGTERM and a closed terminal, while the context lasts."""

    def handle(_signum: int, _frame: FrameType | None) -> None:
        on_stop()

    wanted = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it stays ignored
        wanted.append(signal.SIGHUP)
    before = {signum: signal.signal(signum, handle) for signum in wanted}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
