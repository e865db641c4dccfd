"""Finding trainers by name."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from tests.unit.training import tiny
from workers.trainers import registry
from workers.trainers.registry import (
    TrainerConflictError,
    TrainerNotFoundError,
    built_in_cards,
    load_trainer,
    trainer_names,
)
from workers.trainers.synthetic import Synthetic

TINY_MODULE = "tests.unit.training.tiny"


def install(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Pretend that an installed package offers a trainer."""
    points = EntryPoints([EntryPoint(name, value, registry.ENTRY_POINT_GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points.select(group=group))


def test_built_in_trainers_are_found() -> None:
    assert load_trainer("synthetic") is Synthetic
    assert trainer_names() == ["image_classifier", "synthetic"]


def test_a_typo_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(TrainerNotFoundError, match="did you mean 'image_classifier'") as caught:
        load_trainer("image_clasifier")
    assert caught.value.nearest == "image_classifier"


def test_a_name_like_no_other_is_answered_with_all_names() -> None:
    with pytest.raises(TrainerNotFoundError, match="known: image_classifier, synthetic"):
        load_trainer("xyz")


def test_a_modules_own_trainers_are_found() -> None:
    assert trainer_names([TINY_MODULE]) == ["image_classifier", "synthetic", "tiny"]
    assert load_trainer("tiny", [TINY_MODULE]) is tiny.TinyTask


def test_an_installed_trainer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "tiny", f"{TINY_MODULE}:TinyTask")
    assert "tiny" in trainer_names()
    assert load_trainer("tiny") is tiny.TinyTask
    # Offered twice, but it is one trainer.
    assert load_trainer("tiny", [TINY_MODULE]) is tiny.TinyTask


def test_names_are_listed_without_importing_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "heavy", "no_such_module:Heavy")
    assert "heavy" in trainer_names()


def test_a_name_can_be_taken_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "synthetic", f"{TINY_MODULE}:TinyTask")
    with pytest.raises(TrainerConflictError, match="called 'synthetic'"):
        trainer_names()
    assert load_trainer("synthetic") is Synthetic  # one bad package must not stop the others' trials


def test_a_trainer_must_bear_the_name_it_is_installed_under(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "huge", f"{TINY_MODULE}:TinyTask")
    with pytest.raises(TrainerConflictError, match="calls itself 'tiny'"):
        load_trainer("huge")


def test_the_snapshot_is_written_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "SNAPSHOT", tmp_path / "cards.json")
    assert registry.main(["--check"]) == 1
    assert "--write" in capsys.readouterr().err
    assert registry.main(["--write"]) == 0
    assert registry.main(["--check"]) == 0
    (tmp_path / "cards.json").write_text("[]")
    assert registry.main(["--check"]) == 1


def test_the_services_snapshot_is_up_to_date() -> None:
    assert registry.main(["--check"]) == 0, "run: python -m workers.trainers.registry --write"


def test_cards_are_sorted_by_name() -> None:
    assert [card.name for card in built_in_cards()] == ["image_classifier", "synthetic"]


def test_a_module_that_can_not_be_imported_says_so() -> None:
    assert "no_such_module" not in sys.modules
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_trainer("tiny", ["no_such_module"])
