"""Each shape of another tool's file becomes the job that it means, and a program that a worker can run."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stepsize.cli.job_file import read_foreign
from stepsize.conversion import convert, is_foreign
from stepsize.spec.job import JobSpec
from stepsize_workers.trainers.command import read_commands
from tests.unit.conversion.shapes import SHAPES


def test_there_are_at_least_twenty() -> None:
    assert len(SHAPES) >= 20


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_becomes_its_job(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    file = tmp_path / "theirs.yaml"
    file.write_text(shape.text)
    document = read_foreign(str(file))
    assert is_foreign(document)
    found = convert(document)
    job: dict[str, Any] = JobSpec.model_validate(found.job).model_dump(mode="json", exclude_unset=True)
    assert {part: job.get(part) for part in shape.job} == shape.job
    assert set(shape.told) <= {note.place for note in found.notes}
    if shape.runs is None:
        assert (found.command, job["engine"]) == (None, "external")
        return
    commands = tmp_path / "commands.yaml"
    commands.write_text(yaml.safe_dump(found.command))
    (trainer,) = read_commands(commands).values()
    assert trainer.name == job["trainer"]["name"]
    assert vars(trainer)["command"].command == shape.runs
    fixed = job["trainer"].get("params", {})
    assert trainer.Params.model_validate(fixed).model_dump().keys() == {*job["search_space"], *fixed}
