"""Fixtures of the workers' tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stepsize.store.database import Database
from tests.job_play import Stage


@pytest.fixture
def stage(sqlite_url: str, tmp_path: Path) -> Iterator[Stage]:
    """A SQLite database to play jobs on."""
    database = Database(sqlite_url)
    yield Stage(database, tmp_path)
    database.dispose()
