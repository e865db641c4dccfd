"""A real tuning job from start to end: `make demo`.

Starts `stepsize up` on a free port in a fresh `.demo/`, submits examples/mnist-cnn.json (a small convolutional network
on 5,000 real MNIST digits), shows its progress, prints the best trial and the learning-rate report, and stops what it
started.
"""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".demo"
LOG = FOLDER / "service.log"
JOB_FILE = ROOT / "examples" / "mnist-cnn.json"
STEPSIZE = [sys.executable, "-m", "stepsize.cli"]


def main() -> int:
    """Run the demo and return the exit code."""
    signal.signal(signal.SIGTERM, _end)
    with running_service() as url:
        say(f"The service runs at {url} for the length of this demo; its log is {LOG.relative_to(ROOT)}\n")
        submitted = subprocess.run(
            [*STEPSIZE, "submit", str(JOB_FILE), "--server", url], check=True, stdout=subprocess.PIPE, text=True
        )
        job_id = submitted.stdout.strip()
        codes = []
        for command, title in (("watch", ""), ("best", "\nThe answer"), ("report", "\nThe report")):
            say(title)
            codes.append(subprocess.run([*STEPSIZE, command, job_id, "--server", url], check=False).returncode)
    say(f"\nTo see it as a page:  .venv/bin/stepsize up --data-dir {FOLDER.relative_to(ROOT)}")
    return max(codes)


@contextmanager
def running_service() -> Iterator[str]:
    """Give the URL of a service that lives as long as the context."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    url = f"http://127.0.0.1:{free_port()}"
    command = [*STEPSIZE, "up", "--port", url.rpartition(":")[2], "--data-dir", str(FOLDER)]
    with LOG.open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as process:
        try:
            wait_until_ready(url, process)
            yield url
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]", *, timeout_s: float = 60.0) -> None:
    """Return when the service answers; end the demo if it doesn't."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    sys.exit(f"the service did not start; its log:\n{LOG.read_text()}")


def say(line: str) -> None:
    """Print a line before what commands print."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _end(_signum: int, _frame: FrameType | None) -> None:
    sys.exit(1)  # through the contexts above, which stop the service


if __name__ == "__main__":
    sys.exit(main())
