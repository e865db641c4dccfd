"""Logs where standard error is no terminal: one JSON object a line, from structlog and logging alike."""

import json
import subprocess
import sys

CODE = """
import logging, structlog
from stepsize.logs import configure_logs
configure_logs("info")
structlog.get_logger("ours").info("job claimed", job="job_1")
logging.getLogger("theirs").warning("watch out")
logging.getLogger("uvicorn.error").info("started")
structlog.get_logger("ours").debug("too much")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("ours").exception("failed")
"""


def test_lines_are_json_objects_with_level_logger_and_time() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    first, second, third = map(json.loads, done.stderr.splitlines())
    assert (first["event"], first["job"], first["level"], first["logger"]) == ("job claimed", "job_1", "info", "ours")
    assert first["timestamp"].endswith("Z")
    assert (second["event"], second["level"], second["logger"]) == ("watch out", "warning", "theirs")
    assert "ZeroDivisionError" in third["exception"]
    assert done.stdout == ""
