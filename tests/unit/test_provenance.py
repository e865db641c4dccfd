"""What a trial came from: collected from files, repositories and packages; told apart by what differs."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy
import pytest

from stepsize.provenance import collect
from stepsize.spec.provenance import Provenance, differences

SOURCE = """
import json
import numpy as np
from sklearn import svm
import nowhere_to_be_found


def train(trial):
    return 0.0
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A trainer's module in a repository of its own, committed."""
    file = tmp_path / "mine.py"
    file.write_text(SOURCE)
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *command], check=True)
    made = ModuleType("mine")
    made.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "mine", made)
    exec(compile(SOURCE.replace("import nowhere_to_be_found", ""), str(file), "exec"), made.__dict__)
    return made


def test_code_packages_and_machine_are_told(module: ModuleType, tmp_path: Path) -> None:
    found = collect(module.train, trainer="mine", trainer_version="2", device="cpu")
    head = subprocess.run(["git", "-C", str(tmp_path), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert (found.git_commit, found.git_dirty) == (head.stdout.strip(), False)
    assert found.packages["numpy"] == numpy.__version__
    assert {"stepsize", "torch", "optuna", "sklearn"} <= found.packages.keys()
    assert not {"json", "nowhere_to_be_found"} & found.packages.keys(), "neither Python's own nor what isn't there"
    assert found.python == sys.version.split()[0]
    assert found.device
    assert found.driver is None


def test_a_change_of_the_file_changes_the_hash_and_makes_the_commit_dirty(module: ModuleType, tmp_path: Path) -> None:
    before = collect(module.train, trainer="mine", trainer_version="2", device="cpu")
    (tmp_path / "mine.py").write_text(SOURCE + "# changed\n")
    after = collect(module.train, trainer="mine", trainer_version="2", device="cpu")
    assert after.git_dirty
    assert differences([before, after]).keys() == {"source_hash", "git_dirty"}


def test_a_file_that_its_repository_does_not_track_has_no_commit(module: ModuleType, tmp_path: Path) -> None:
    subprocess.run(["git", "-C", str(tmp_path), "rm", "-q", "--cached", "mine.py"], check=True)
    found = collect(module.train, trainer="mine", trainer_version=None, device="cpu")
    assert (found.git_commit, found.git_dirty) == (None, None)
    assert found.source_hash is not None


def test_alike_have_one_id_whatever_the_order_of_their_packages() -> None:
    one = Provenance(packages={"a": "1", "b": "2"}, device="cpu")
    assert one.id == Provenance(packages={"b": "2", "a": "1"}, device="cpu").id
    assert one.id != Provenance(packages={"a": "1", "b": "3"}, device="cpu").id


def test_differences_name_each_package_and_what_one_lacks() -> None:
    found = differences(
        [
            Provenance(packages={"torch": "2.12", "numpy": "2"}, git_dirty=False),
            Provenance(packages={"torch": "2.13", "numpy": "2"}, git_dirty=True, driver="550"),
        ]
    )
    assert found == {"git_dirty": ["no", "yes"], "packages.torch": ["2.12", "2.13"], "driver": ["none", "550"]}
