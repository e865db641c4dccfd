"""The API's description as a file: `python -m stepsize.api.openapi` writes docs/openapi.json, `--check` compares."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from stepsize.api.app import create_app
from stepsize.settings import Settings

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the document; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stepsize.api.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the document differs")
    current = openapi_text()
    if not parser.parse_args(arguments).check:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(current, encoding="utf-8")
    elif not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != current:
        sys.stderr.write(f"{DOCUMENT} differs from the API; run: make openapi\n")
        return 1
    return 0


def openapi_text() -> str:
    """Return the API's OpenAPI document."""
    app = create_app(Settings(database_url="sqlite:///never-opened.db"))
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
