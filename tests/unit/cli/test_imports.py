"""Commands that only talk HTTP start quickly because they leave the heavy packages alone."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from stepsize.cli import app

HEAVY = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "psycopg", "optuna", "torch", "structlog", "mcp")


def test_the_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, stepsize.cli; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_client_needs_only_httpx_and_the_spec() -> None:
    code = "import sys, stepsize.client; print(sorted(name for name in sys.modules if name.startswith('stepsize.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name.split(".")[1].strip("'] \n") for name in done.stdout.split(",")}
    assert ours == {"client", "extras", "spec"}


@pytest.mark.parametrize(
    ("command", "missing", "ours"),
    [
        (["mcp"], "mcp.server.mcpserver", "stepsize.agents.server"),
        (["import", "optuna", "nowhere"], "optuna", "stepsize.studies.optuna_study"),
    ],
)
def test_a_command_whose_extra_is_missing_says_which(
    command: list[str], missing: str, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, ours, raising=False)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    extra = missing.partition(".")[0]
    assert result.stderr == (
        f"stepsize: {' '.join(command[:2])} needs: pip install 'stepsize[{extra}]'  ({missing} is missing)\n"
    )
