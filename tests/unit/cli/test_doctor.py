"""`stepsize doctor`: each thing that is wrong is named, with its mend, and the exit code says so."""

import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stepsize.cli import app, doctor
from stepsize.settings import Settings
from stepsize.store.migrate import upgrade
from stepsize_workers.self_check import self_check

Found = dict[str, dict[str, str]]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from any service and data of this machine, and without the seconds that a worker's imports take."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "SERVER", "http://127.0.0.1:1")
    monkeypatch.setattr(doctor, "_of_the_worker", lambda: iter(()))


def examine(*arguments: str) -> tuple[int, Found]:
    result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
    return result.exit_code, {finding["about"]: finding for finding in json.loads(result.stdout)}


def test_a_fresh_installation_has_nothing_wrong(tmp_path: Path) -> None:
    code, found = examine("--data-dir", str(tmp_path / "data"))
    assert code == 0, found
    assert found["data directory"]["verdict"] == "note"
    assert found["service"]["mend"].startswith("start one with `stepsize up`")


def test_an_empty_directory_stays_empty(tmp_path: Path) -> None:
    code, found = examine("--data-dir", str(tmp_path))
    assert (code, found["database"]["verdict"]) == (0, "note")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "about", "said", "mend"),
    [
        ("file", "data directory", "file is a file", "name another with --data-dir"),
        ("file/below", "data directory", "file/below can't be made: {folder}/file is a file", "name another with"),
        ("x" * 300, "data directory", "can't be used: File name too long", "name another with"),
        ("folder", "database", "{folder}/folder/stepsize.db is a directory, and not SQLite's file", "move {folder}"),
        ("text", "database", "it does not answer: file is not a database", "move {folder}/text/stepsize.db away"),
    ],
)
def test_an_odd_data_directory_is_told_once_with_its_mend(
    tmp_path: Path, given: str, about: str, said: str, mend: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "stepsize.db").mkdir(parents=True)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "stepsize.db").write_text("no database at all, but more than a hundred characters " * 3)
    code, found = examine("--data-dir", given)
    assert code == 1
    assert {name for name, finding in found.items() if finding["verdict"] == "wrong"} == {about}
    assert said.format(folder=tmp_path) in found[about]["said"]
    assert found[about]["mend"].startswith(mend.format(folder=tmp_path)) or mend in found[about]["mend"]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("STEPSIZE_LEASE_S", "soon", "STEPSIZE_LEASE_S: a number is expected here"),
        ("STEPSIZE_LEASE_S", "0", "STEPSIZE_LEASE_S: must be at least 0.01"),
        ("STEPSIZE_ALLOWED_HOSTS", "a/b", "STEPSIZE_ALLOWED_HOSTS: has characters that can't stand here"),
        ("STEPSIZE_DATABASE_URL", "mysql://x", "STEPSIZE_DATABASE_URL: write sqlite:////path/to.db or postgresql"),
        ("STEPSIZE_LOG_LEVEL", "loud", "STEPSIZE_LOG_LEVEL: expected is 'DEBUG'"),
    ],
)
@pytest.mark.parametrize("command", ["doctor", "migrate"])
def test_a_wrong_setting_is_told_in_our_words(
    monkeypatch: pytest.MonkeyPatch, command: str, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = CliRunner().invoke(app, [command])
    assert result.exit_code in (1, 2)
    assert said.replace(" ", "") in re.sub(r"[\s│]", "", result.output)
    assert "Input should" not in result.output


def test_a_slow_answer_is_no_clock_that_is_wrong() -> None:
    asked = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)
    answered = asked + timedelta(seconds=30)
    assert doctor._skew_s(asked, asked + timedelta(seconds=20), answered) == 0
    assert doctor._skew_s(asked, asked - timedelta(seconds=9), answered) == 9
    assert doctor._skew_s(asked, answered + timedelta(seconds=7), answered) == -7


def test_a_database_of_this_version_is_fine_and_one_without_tables_is_not(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    settings.make_data_dir()
    (settings.data_dir / "stepsize.db").touch()
    code, found = examine("--data-dir", str(settings.data_dir))
    assert (code, found["database"]["verdict"], found["database"]["mend"]) == (1, "wrong", "stepsize migrate")
    upgrade(settings.url)
    code, found = examine("--data-dir", str(settings.data_dir))
    assert (code, found["database"]["verdict"]) == (0, "ok")


def test_a_database_ahead_of_the_code_is_not_to_be_migrated(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    settings.make_data_dir()
    upgrade(settings.url)
    with sqlite3.connect(settings.data_dir / "stepsize.db") as connection:
        connection.execute("UPDATE stepsize_alembic_version SET version_num = '9999'")
    connection.close()
    _, found = examine("--data-dir", str(settings.data_dir))
    assert "needs a later Stepsize: install that" in found["database"]["said"]
    assert found["database"]["mend"] == ""


def test_what_is_wrong_comes_with_its_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LEAST_FREE_BYTES", 2**80)
    code, found = examine("--data-dir", "data", "--server", "http://127.0.0.1:2")
    assert code == 1
    wrong = {about for about, finding in found.items() if finding["verdict"] == "wrong"}
    assert wrong == {"space", "service"}
    assert all(found[about]["mend"] for about in wrong)


def test_a_misspelt_setting_is_told_with_the_one_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSIZE_TRAINER", "mine")
    code, found = examine()
    assert code == 1
    assert "did you mean STEPSIZE_TRAINERS?" in found["settings"]["said"]


def test_a_trainer_that_fails_to_import_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_trainer.py").write_text("import no_such_library")
    monkeypatch.setenv("STEPSIZE_TRAINERS", "broken_trainer")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = self_check()
    assert "synthetic" in seen["trainers"]  # type: ignore[operator]
    assert "No module named 'no_such_library'" in str(seen["problems"])
