"""For developers: `python -m stepsize_migrations check` and `python -m migrations revise MESSAGE`. See NOTES.md.

`stepsize migrate` is the command that upgrades a database.
"""

import re
import sys
import tempfile
from pathlib import Path

from alembic import command

from stepsize.store.migrate import config_for, differences, migrating, upgrade

USAGE = "usage: python -m stepsize_migrations check | revise MESSAGE | rewrite-first"


def main(arguments: list[str]) -> int:
    """Run one sub-command; the exit code tells whether models.py and the migrations agree."""
    match arguments:
        case ["check"]:
            return check()
        case ["revise", message]:
            return revise(message)
        case ["rewrite-first"]:
            return rewrite_first()
        case _:
            sys.stderr.write(f"{USAGE}\n")
            return 2


def check() -> int:
    """Compare models.py with what the migrations make of an empty SQLite database."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/check.db"
        upgrade(url)
        with migrating(url) as connection:
            found = differences(connection)
    for difference in found:
        sys.stderr.write(f"models.py differs from the migrations: {difference}\n")
    return 1 if found else 0


def revise(message: str) -> int:
    """Write the next revision: what models.py has and the newest revision has not."""
    number = f"{len(_revisions()) + 1:04d}"
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/revise.db"
        upgrade(url)
        with migrating(url) as connection:
            command.revision(config_for(connection), message, autogenerate=True, rev_id=number)
    return 0


def rewrite_first() -> int:
    """Write revision 0001 anew from models.py; only before the first release, while no database has it."""
    revisions = _revisions()
    if len(revisions) > 1:
        sys.stderr.write("there are later revisions: write another one with `revise`\n")
        return 1
    for path in revisions:
        path.unlink()
    with tempfile.TemporaryDirectory() as directory, migrating(f"sqlite:///{directory}/first.db") as connection:
        config = config_for(connection)
        config.attributes["context_options"] = {"render_as_batch": False}  # every table is new
        command.revision(config, "The first tables", autogenerate=True, rev_id="0001")
    (path,) = _revisions()
    path.write_text(re.sub(r"^ +# ### .*\n", "", path.read_text(), flags=re.MULTILINE))
    return 0


def _revisions() -> list[Path]:
    return sorted((Path(__file__).parent / "versions").glob("0*.py"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
