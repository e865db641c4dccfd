"""`stepsize doctor`: each thing that is wrong is named, with its mend, and the exit code says so."""

import json
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


def test_a_database_of_this_version_is_fine_and_one_without_tables_is_not(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    settings.make_data_dir()
    code, found = examine("--data-dir", str(settings.data_dir))
    assert (code, found["database"]["verdict"], found["database"]["mend"]) == (1, "wrong", "stepsize migrate")
    upgrade(settings.url)
    code, found = examine("--data-dir", str(settings.data_dir))
    assert (code, found["database"]["verdict"]) == (0, "ok")


def test_what_is_wrong_comes_with_its_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STEPSIZE_TRAINER", "mine")
    monkeypatch.setattr(doctor, "_LEAST_FREE_BYTES", 2**80)
    code, found = examine("--data-dir", "file", "--server", "http://127.0.0.1:2")
    assert code == 1
    wrong = {about for about, finding in found.items() if finding["verdict"] == "wrong"}
    assert wrong == {"settings", "data directory", "space", "database", "service"}
    assert "did you mean STEPSIZE_TRAINERS?" in found["settings"]["said"]
    assert all(found[about]["mend"] for about in wrong)


def test_a_trainer_that_fails_to_import_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_trainer.py").write_text("import no_such_library")
    monkeypatch.setenv("STEPSIZE_TRAINERS", "broken_trainer")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = self_check()
    assert "synthetic" in seen["trainers"]  # type: ignore[operator]
    assert "No module named 'no_such_library'" in str(seen["problems"])
