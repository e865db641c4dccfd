"""Commands that only talk HTTP start quickly because they leave the heavy packages alone."""

import subprocess
import sys

HEAVY = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "psycopg", "optuna", "torch", "structlog")


def test_the_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, stepsize.cli; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_client_needs_only_httpx_and_the_spec() -> None:
    code = "import sys, stepsize.client; print(sorted(name for name in sys.modules if name.startswith('stepsize.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {name.split(".")[1].strip("'] \n") for name in done.stdout.split(",")}
    assert ours == {"client", "extras", "spec"}
