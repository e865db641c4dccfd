"""Finding trainers by name."""

import re
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from stepsize.spec.shorthand import Float
from stepsize.spec.space import FloatParameter, SearchSpace
from stepsize_workers.trainers import registry
from stepsize_workers.trainers.base import Params, TrialContext
from stepsize_workers.trainers.function import trainer
from stepsize_workers.trainers.registry import (
    TrainerConflictError,
    TrainerNotFoundError,
    built_in_cards,
    extra_cards,
    load_trainer,
    trainer_names,
)
from stepsize_workers.trainers.synthetic import Synthetic
from tests.fakes import RecordingContext
from tests.unit.training import tiny
from tests.unit.training.plain_function import ParabolaParams

BUILT_IN_NAMES = [
    "anomaly_detector",
    "board_game",
    "image_classifier",
    "language_model",
    "object_detector",
    "reinforcement_learner",
    "synthetic",
    "tabular_classifier",
    "tabular_regressor",
    "text_classifier",
]
TINY_MODULE = "tests.unit.training.tiny"


def install(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Pretend that an installed package offers a trainer."""
    points = EntryPoints([EntryPoint(name, value, registry.ENTRY_POINT_GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points.select(group=group))


def test_built_in_trainers_are_found() -> None:
    assert load_trainer("synthetic") is Synthetic
    assert trainer_names() == BUILT_IN_NAMES


def test_a_card_speaks_of_its_own_samples() -> None:
    fields = {card.name: card.params_schema["properties"] for card in built_in_cards()}
    words = "fully connected layers on the mean of the words' embeddings"
    assert f"mlp: {words};" in fields["text_classifier"]["model"]["description"]
    for name in ("image_classifier", "tabular_classifier", "tabular_regressor"):
        assert words not in fields[name]["model"]["description"], name
    for name in ("tabular_classifier", "tabular_regressor", "anomaly_detector"):  # these have no other model
        assert fields[name]["width"]["description"] == "Units of a hidden layer.", name


def test_a_typo_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(TrainerNotFoundError, match="did you mean 'image_classifier'") as caught:
        load_trainer("image_clasifier")
    assert caught.value.nearest == "image_classifier"


def test_a_name_like_no_other_is_answered_with_all_names() -> None:
    with pytest.raises(TrainerNotFoundError, match=f"known: {', '.join(BUILT_IN_NAMES)}"):
        load_trainer("xyz")


def test_a_modules_own_trainers_are_found() -> None:
    assert trainer_names([TINY_MODULE]) == sorted([*BUILT_IN_NAMES, "tiny"])
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
    cards, problems = extra_cards([TINY_MODULE])
    assert load_trainer("synthetic") is Synthetic
    assert [card.name for card in cards] == ["tiny"]
    assert len(problems) == 1
    assert "left out" in problems[0]


def test_a_trainer_must_bear_the_name_it_is_installed_under(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "huge", f"{TINY_MODULE}:TinyTask")
    with pytest.raises(TrainerConflictError, match="calls itself 'tiny'"):
        load_trainer("huge")


def test_the_snapshot_is_written_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "SNAPSHOT", tmp_path / "cards.json")
    assert registry.main(["--check"]) == 1
    assert "make cards" in capsys.readouterr().err
    assert registry.main(["--write"]) == 0
    assert registry.main(["--check"]) == 0
    (tmp_path / "cards.json").write_text("[]")
    assert registry.main(["--check"]) == 1


def test_the_services_snapshot_is_up_to_date() -> None:
    assert registry.main(["--check"]) == 0, "run: python -m stepsize_workers.trainers.registry --write"


def test_cards_are_sorted_by_name() -> None:
    assert [card.name for card in built_in_cards()] == BUILT_IN_NAMES


def test_a_missing_trainers_error_names_the_broken_module() -> None:
    assert "no_such_module" not in sys.modules
    with pytest.raises(TrainerNotFoundError, match="no_such_module"):
        load_trainer("tiny", ["no_such_module"])


@pytest.mark.parametrize("source", ["raise RuntimeError('boom')", "import sys; sys.exit(3)", "def broken("])
def test_a_broken_module_is_left_out_and_takes_nothing_else_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    name = f"broken_{len(source)}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    cards, problems = extra_cards([name, TINY_MODULE])
    assert [card.name for card in cards] == ["tiny"]
    assert len(problems) == 1
    assert name in problems[0]


def test_a_trainer_is_found_by_what_its_module_calls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "renamed.py").write_text(
        "from stepsize import Float, Params, trainer\n"
        "class P(Params):\n    x: float = 1.0\n"
        "def train(context): context.report(1, {'loss': 1.0})\n"
        "space = {'x': Float(0, 1)}\n"
        "tuned = again = trainer(name='mine', params=P, metrics={'loss': 'minimize'}, search_space=space)(train)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    cards, problems = extra_cards(["renamed"])
    assert ([card.name for card in cards], problems) == (["mine"], [])


def test_a_module_without_a_trainer_is_a_problem() -> None:
    cards, problems = extra_cards(["json", TINY_MODULE])
    assert [card.name for card in cards] == ["tiny"]
    assert problems == [
        "NoTrainerError: module 'json' defines no trainer: decorate a function with "
        "@stepsize.trainer(…), or name what defines one"
    ]


def test_a_broken_installed_trainer_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "heavy", "no_such_module:Heavy")
    cards, problems = extra_cards([TINY_MODULE])
    assert [card.name for card in cards] == ["tiny"]
    assert "no_such_module" in problems[0]


def test_a_function_is_a_trainer() -> None:
    cards, problems = extra_cards(["tests.unit.training.plain_function"])
    assert problems == []
    (card,) = cards
    assert (card.name, card.help, card.default_objectives[0].metric) == ("parabola", "Reports a parabola.", "loss")
    context = RecordingContext(
        params=load_trainer("parabola", ["tests.unit.training.plain_function"]).Params(), directory=Path()
    )
    load_trainer("parabola", ["tests.unit.training.plain_function"])().train(context)
    assert context.reports[:2] == [(1, {"loss": 4.0}), (2, {"loss": 1.0})]


def test_a_function_without_anything_to_tune_by_is_refused() -> None:
    with pytest.raises(ValueError, match="no metric with a direction"):
        trainer(name="x", params=Params, metrics={"seconds": None}, search_space={})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"params": {"x": 1.0}}, "params is a class derived from stepsize.Params, not {'x': 1.0}"),
        ({"metrics": ["loss"]}, 'metrics names each metric and its direction, such as {"loss": "minimize"}'),
        ({"search_space": Float(0, 1)}, 'search_space is such as {"learning_rate": Float(1e-5, 1.0)}'),
        ({"search_space": {"x": (0, 1)}}, "search_space: x is Float(…), Int(…) or Choice(…), not (0, 1)"),
    ],
)
def test_what_no_trainer_can_be_made_of_is_told_where_it_is_written(wrong: dict[str, Any], said: str) -> None:
    right: dict[str, Any] = {"name": "x", "params": ParabolaParams, "metrics": {"loss": "minimize"}}
    with pytest.raises(TypeError, match=re.escape(said)):
        trainer(**{**right, "search_space": {"x": Float(0, 1)}, **wrong})


def test_a_direction_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="loss gets better by 'minimize' or 'maximize', not 'min'"):
        trainer(name="x", params=Params, metrics={"loss": "min"}, search_space={})


class Lists(Params):
    layers: tuple[int, ...] = (1, 2)


class Bare(Params):
    rate: float


class Rate(Params):
    rate: float = 0.1


SPACE: SearchSpace = {"rate": FloatParameter(type="float", low=0.1, high=1.0)}


@pytest.mark.parametrize(
    ("params", "space", "last_step", "words"),
    [
        (Lists, {}, None, "parameter 'layers' must be"),
        (Bare, SPACE, None, "parameter 'rate' must be .* with a default"),
        (Params, SPACE, None, "no parameter 'rate'"),
        (Rate, SPACE, "epochs", "no parameter 'epochs'"),
    ],
)
def test_a_trainer_that_contradicts_itself_has_no_card(
    params: type[Params], space: SearchSpace, last_step: str | None, words: str
) -> None:
    @trainer(name="x", params=params, metrics={"loss": "minimize"}, search_space=space, max_step_param=last_step)
    def train(context: TrialContext[Params]) -> None: ...

    with pytest.raises(ValueError, match=words):
        train.card()
