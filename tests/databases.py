"""On which databases a test runs, where not simply on both."""

import pytest

POSTGRESQL_WHEN_SLOW = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
"""For long tests of what hardly depends on the database: PostgreSQL's turn comes in `make test-slow`."""
