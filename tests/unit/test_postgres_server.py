"""The servers that tests start end with them, however they end."""

import subprocess
import sys
from pathlib import Path

import psutil

from tests.waiting import wait_for
from tests.worker_process import wait_until_gone

TEST = """
import time
from pathlib import Path

def test_that_is_killed(postgres):
    data = postgres._directory / "data"
    said = Path({said!r})
    pid = (data / "postmaster.pid").read_text().split()[0]
    said.with_suffix(".part").write_text(f"{{pid}} {{postgres._directory}}")
    said.with_suffix(".part").rename(said)
    time.sleep(600)
"""


def test_a_killed_test_run_leaves_no_server_behind(tmp_path: Path) -> None:
    said = tmp_path / "said"
    (tmp_path / "test_killed.py").write_text(TEST.format(said=str(said)))
    (tmp_path / "conftest.py").write_text("from tests.conftest import postgres\n")
    root = Path(__file__).parents[2]
    arguments = ["-p", "no:cacheprovider", "-o", "addopts=", "-o", f"pythonpath={root}", "--rootdir", str(tmp_path)]
    run = subprocess.Popen([sys.executable, "-m", "pytest", *arguments, str(tmp_path)], cwd=tmp_path)
    try:
        wait_for(lambda: said.exists() or run.poll() is not None, timeout_s=60.0)
        pid, directory = said.read_text().split()
        server = psutil.Process(int(pid))
        processes = [server, *server.children()]
    finally:
        run.kill()
        run.wait()
    assert not wait_until_gone(processes, timeout_s=20.0)
    wait_for(lambda: not Path(directory).exists())
