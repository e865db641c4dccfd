"""A service of the guide's own: `stepsize up` on a free port, with a fresh data directory."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


@contextmanager
def running_service(folder: Path, *, keep: bool = False) -> Iterator[str]:
    """Give the URL of a service that lives as long as the context; its data and log go into `folder`.

    Args:
        keep: go on with the data there are, instead of emptying the folder first.
    """
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    command = [sys.executable, "-m", "stepsize.cli", "up", "--port", str(port), "--data-dir", str(folder / "data")]
    log = folder / "service.log"
    with log.open("wb") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as process:
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path, *, timeout_s: float = 600.0) -> None:
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the service did not start; its log:\n{log.read_text()}")
