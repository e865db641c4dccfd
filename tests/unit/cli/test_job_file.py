"""What people write in YAML and JSON, and what the service is sent."""

import io
import sys
from pathlib import Path

import pytest
import typer

from stepsize.cli.job_file import read_job


def write(folder: Path, text: str, name: str = "job.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-5", 1e-5),  # a string to PyYAML's own loaders
        ("1.5E+3", 1500.0),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("1:30", "1:30"),
        ("no", "no"),
        ("true", True),
        ("null", None),
        ("2026-11-24", "2026-11-24"),
        ("'1e-5'", "1e-5"),
    ],
)
def test_yaml_values_mean_what_they_look_like(tmp_path: Path, written: str, meant: object) -> None:
    value = read_job(write(tmp_path, f"x: {written}"))["x"]
    assert value == meant
    assert type(value) is type(meant)


def test_json_and_standard_input_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_job(write(tmp_path, '{"low": 1e-5}', "job.json")) == {"low": 1e-5}
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"low": 1e-5}'))
    assert read_job("-") == {"low": 1e-5}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("job.json", '{"low": NaN}'),
        ("job.json", "{"),
        ("job.json", "[1]"),
        ("job.json", '{"low": 1, "low": 2}'),
        ("job.yaml", "low: 1\nhigh: 2\nlow: 3"),
        ("job.yaml", "budget:\n  max_trials: 1\n  max_trials: 2"),
        ("job.yaml", "- 1"),
        ("job.yaml", "a: ["),
        ("job.yaml", "a: !!python/object/apply:os.system [ls]"),
    ],
)
def test_what_is_not_a_job_is_a_usage_error_that_names_the_file(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(typer.BadParameter, match=name):
        read_job(write(tmp_path, text, name))


def test_a_missing_file_is_a_usage_error() -> None:
    with pytest.raises(typer.BadParameter, match=r"nowhere\.yaml can't be read: No such file"):
        read_job("nowhere.yaml")
