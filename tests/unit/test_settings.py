"""Settings: what a wrong environment variable is answered with before anything starts."""

import pytest
from pydantic import ValidationError

from stepsize.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "chatty"),
        ("DATABASE_URL", "mysql://host/database"),
        ("DATABASE_URL", "postgresql+psycopg2://host/database"),  # a driver that isn't installed
        ("DATABASE_URL", "sqlite://"),
        ("SLOTS", "0"),
        ("LEASE_S", "0"),
        ("LEASE_S", "5e-324"),
        ("LEASE_S", "inf"),
        ("LEASE_S", "nan"),
    ],
)
def test_a_value_that_nothing_could_run_with_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"STEPSIZE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_a_log_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSIZE_LOG_LEVEL", "debug")
    assert Settings().log_level == "DEBUG"
