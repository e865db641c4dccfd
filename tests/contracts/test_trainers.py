"""What every trainer promises. A new one joins by its row in the registry; give it quick parameters in `QUICK`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stepsize.domain.trainer import TrainerCard
from stepsize.spec.space import FloatParameter, IntParameter, Scalar
from stepsize_workers.trainers.base import Params, Trainer
from stepsize_workers.trainers.registry import BUILT_IN, load_trainer
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

EXTRAS = [
    "tests.unit.training.tiny",
    "tests.unit.training.plain_function",
    str(Path(__file__).with_name("commands.toml")),
]
NAMES = [*BUILT_IN, "tiny", "parabola", "counter"]


def quick_classifier(**params: Scalar) -> dict[str, Scalar]:
    return {"dataset": "digits", "model": "mlp", "epochs": 3, "dropout": 0.2, **params}


QUICK_TEXTS: dict[str, Scalar] = {"epochs": 3, "dropout": 0.1, "width": 8, "depth": 1, "context": 8}

QUICK_SCENES: dict[str, Scalar] = {"dataset": "digits", "epochs": 3, "width": 2, "scenes": 32, "scene_size": 32}

DRAWS = {
    "anomaly_detector",
    "board_game",
    "image_classifier",
    "language_model",
    "object_detector",
    "reinforcement_learner",
    "tabular_classifier",
    "tabular_regressor",
    "text_classifier",
}
"""Who keeps pictures."""

# (trainer, parameters that make it quick): several rows a trainer where its parts might break a promise each.
QUICK: list[tuple[str, dict[str, Scalar]]] = [
    ("synthetic", {"n_reports": 4}),
    ("synthetic", {"n_reports": 4, "noise": 0.1}),
    ("tiny", {"epochs": 4, "batch_size": 5}),
    ("tiny", {"epochs": 5, "batch_size": 5, "checkpoint_every": 2}),
    ("parabola", {}),
    ("counter", {"steps": 4}),
    ("tabular_classifier", {"epochs": 3, "dropout": 0.1, "label_noise": 0.1, "train_fraction": 0.5}),
    ("anomaly_detector", {"epochs": 3, "dropout": 0.1, "train_fraction": 0.01}),
    ("tabular_regressor", {"epochs": 3, "dropout": 0.1, "train_fraction": 0.5, "init": "torch"}),
    ("text_classifier", {**QUICK_TEXTS, "model": "transformer", "train_fraction": 0.05}),
    ("language_model", {**QUICK_TEXTS, "model": "lstm", "train_fraction": 0.001, "batch_size": 16}),
    ("board_game", {"columns": 4, "rows": 4, "epochs": 2, "games": 4, "simulations": 2, "width": 4}),
    ("object_detector", {**QUICK_SCENES, "dropout": 0.1, "train_fraction": 0.5}),
    ("reinforcement_learner", {"epochs": 3, "environments": 2, "passes": 1, "width": 8, "dropout": 0.1}),
    ("image_classifier", quick_classifier(model="resnet18", width=2, train_fraction=0.1, activation="silu")),
    ("image_classifier", quick_classifier(model="cnn", clip_norm=1.0, grad_accumulation=3)),
    ("image_classifier", quick_classifier(optimizer="sgd", schedule="one_cycle", label_noise=0.1)),
    ("image_classifier", quick_classifier(optimizer="adagrad", schedule="step")),
    ("image_classifier", quick_classifier(optimizer="rmsprop", schedule="cyclical", learning_rate=1e-3)),
    ("image_classifier", quick_classifier(optimizer="adam", schedule="constant", learning_rate=1e-3)),
    ("image_classifier", quick_classifier(optimizer="adamw", schedule="cosine", learning_rate=1e-3)),
    ("image_classifier", quick_classifier(optimizer="nadam", schedule="inverse_sqrt", learning_rate=1e-3)),
    ("image_classifier", quick_classifier(optimizer="radam", schedule="cosine_restarts", learning_rate=1e-3)),
    ("image_classifier", quick_classifier(optimizer="muon", model="cnn", learning_rate=1e-3)),
    ("image_classifier", quick_classifier(optimizer="adafactor", schedule="cosine")),
    ("image_classifier", quick_classifier(optimizer="schedule_free_adamw", learning_rate=1e-3)),
    ("image_classifier", quick_classifier(optimizer="prodigy", learning_rate=1.0)),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_trainer_is_in_this_suite(name: str) -> None:
    assert name in {row[0] for row in QUICK}, f"add ({name!r}, {{parameters that make it quick}}) to QUICK above"


def quick_id(row: tuple[str, dict[str, Scalar]]) -> str:
    name, params = row
    return "-".join([name, *(str(params[key]) for key in ("model", "optimizer", "schedule", "noise") if key in params)])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Exactness is promised for one number of threads; one is the quickest for small nets."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def find(name: str) -> type[Trainer[Params]]:
    return load_trainer(name, EXTRAS)


@pytest.fixture(params=QUICK, ids=quick_id)
def row(request: pytest.FixtureRequest) -> tuple[str, dict[str, Scalar]]:
    chosen: tuple[str, dict[str, Scalar]] = request.param
    return chosen


@pytest.fixture
def trainer(row: tuple[str, dict[str, Scalar]]) -> type[Trainer[Params]]:
    return find(row[0])


@pytest.fixture
def params(trainer: type[Trainer[Params]], row: tuple[str, dict[str, Scalar]]) -> Params:
    return trainer.Params.model_validate(row[1])


def run(trainer: type[Trainer[Params]], params: Params, directory: Path, **options: Any) -> RecordingContext[Params]:
    """Train one trial and return its context."""
    context = RecordingContext(params=params, directory=directory, data_dir=DATA_DIR, **options)
    trainer().train(context)
    return context


def pictures(directory: Path) -> dict[str, bytes]:
    """Return the pictures a trial kept, by their files' names."""
    return {path.name: path.read_bytes() for path in directory.glob("artifacts/*.figure.*")}


def without_seconds(
    trainer: type[Trainer[Params]], context: RecordingContext[Params]
) -> list[tuple[int, dict[str, float]]]:
    """Return the reports without what a clock measured."""
    clocks = {metric.name for metric in trainer.metrics if metric.unit == "s"}
    return [
        (step, {name: value for name, value in values.items() if name not in clocks})
        for step, values in context.reports
    ]


class TestEveryTrainer:
    def test_the_same_seed_gives_the_same_reports(
        self, trainer: type[Trainer[Params]], params: Params, tmp_path: Path
    ) -> None:
        first = run(trainer, params, tmp_path / "1", seed=5)
        torch.rand(3)  # whatever the process did in between
        second = run(trainer, params, tmp_path / "2", seed=5, attempt=2)
        assert without_seconds(trainer, first) == without_seconds(trainer, second)

    def test_reports_are_complete_and_steps_rise_to_the_last(
        self, trainer: type[Trainer[Params]], params: Params, tmp_path: Path
    ) -> None:
        reports = run(trainer, params, tmp_path).reports  # the context refuses what is not finite
        steps = [step for step, _ in reports]
        assert steps == sorted(set(steps))
        if trainer.max_step_param is not None:
            assert steps[-1] == getattr(params, trainer.max_step_param)
        declared = {metric.name for metric in trainer.metrics}
        assert all(set(values) == declared for _, values in reports)

    def test_pictures_are_drawn_alike_once_trained(
        self, trainer: type[Trainer[Params]], params: Params, tmp_path: Path
    ) -> None:
        one, same = run(trainer, params, tmp_path / "1", seed=5), run(trainer, params, tmp_path / "2", seed=5)
        drawn = pictures(tmp_path / "1")
        assert drawn == pictures(tmp_path / "2")
        assert bool(drawn) == (trainer.name in DRAWS), f"add {trainer.name!r} to DRAWS, or drop it"
        assert one.reports[-1][0] == same.reports[-1][0]

    def test_stops_at_the_verdict(self, trainer: type[Trainer[Params]], params: Params, tmp_path: Path) -> None:
        context = run(trainer, params, tmp_path, stop_at_step=2)
        assert [step for step, _ in context.reports] == [1, 2]

    @pytest.mark.parametrize("n_polls", [1, 3])
    def test_stops_when_asked_between_reports(
        self, trainer: type[Trainer[Params]], params: Params, tmp_path: Path, n_polls: int
    ) -> None:
        context = run(trainer, params, tmp_path, stop_after_polls=n_polls)
        # It asks at every update, and does not ask again once it knows.
        assert context.n_polls == n_polls
        whole = run(trainer, params, tmp_path)
        assert without_seconds(trainer, context) == without_seconds(trainer, whole)[: len(context.reports)]

    def test_resumes_exactly_from_every_checkpoint(
        self, trainer: type[Trainer[Params]], params: Params, tmp_path: Path
    ) -> None:
        whole = run(trainer, params, tmp_path / "whole", seed=5)
        assert bool(whole.checkpoints) == trainer.capabilities.resume
        every = getattr(params, "checkpoint_every", 1)
        assert all(step % every == 0 or step == whole.reports[-1][0] for step in whole.checkpoints)
        for step in whole.checkpoints:
            torch.rand(3)
            directory = tmp_path / f"from-{step}"
            rest = run(trainer, params, directory, seed=5, attempt=2, checkpoint=whole.checkpoint_after(step))
            expected = [report for report in without_seconds(trainer, whole) if report[0] > step]
            assert without_seconds(trainer, rest) == expected
            assert rest.artifact("model.safetensors").read_bytes() == whole.artifact("model.safetensors").read_bytes()
            assert pictures(directory) == pictures(tmp_path / "whole")


REFITTED: list[tuple[str, dict[str, Scalar]]] = [
    ("synthetic", {"n_reports": 4}),
    ("tabular_classifier", {"epochs": 3, "dropout": 0.1}),
    ("tabular_regressor", {"epochs": 3, "dropout": 0.1}),
    ("anomaly_detector", {"epochs": 2, "train_fraction": 0.01}),
    ("text_classifier", {**QUICK_TEXTS, "train_fraction": 0.05}),
    ("language_model", {**QUICK_TEXTS, "model": "gpt", "train_fraction": 0.001, "batch_size": 16}),
    ("object_detector", QUICK_SCENES),
    ("image_classifier", quick_classifier(optimizer="adam", schedule="cosine", learning_rate=1e-3)),
]


@pytest.mark.parametrize(("name", "quick"), REFITTED, ids=lambda value: value if isinstance(value, str) else "")
class TestEveryRefit:
    def refit(self, name: str, quick: dict[str, Scalar], directory: Path, **options: Any) -> RecordingContext[Params]:
        trainer = find(name)
        params = trainer.Params.model_validate(quick)
        context = RecordingContext(params=params, directory=directory, data_dir=DATA_DIR, **options)
        trainer().refit(context)
        return context

    def test_the_test_data_is_used_once_at_the_end(self, name: str, quick: dict[str, Scalar], tmp_path: Path) -> None:
        *before, (_, last) = self.refit(name, quick, tmp_path).reports
        assert not [metric for _, values in before for metric in values if metric.startswith("test_")]
        assert [metric for metric in last if metric.startswith("test_")]

    def test_nothing_is_measured_on_validation_data(self, name: str, quick: dict[str, Scalar], tmp_path: Path) -> None:
        reports = self.refit(name, quick, tmp_path).reports
        assert not [metric for _, values in reports for metric in values if metric.startswith("val_")]

    def test_it_resumes_exactly(self, name: str, quick: dict[str, Scalar], tmp_path: Path) -> None:
        whole = self.refit(name, quick, tmp_path / "whole", seed=5)
        for step in whole.checkpoints:
            torch.rand(3)
            rest = self.refit(name, quick, tmp_path / f"from-{step}", seed=5, checkpoint=whole.checkpoint_after(step))
            expected = [report for report in without_seconds(find(name), whole) if report[0] > step]
            assert without_seconds(find(name), rest) == expected
            assert rest.artifact("model.safetensors").read_bytes() == whole.artifact("model.safetensors").read_bytes()

    def test_it_stops_at_the_verdict(self, name: str, quick: dict[str, Scalar], tmp_path: Path) -> None:
        assert [step for step, _ in self.refit(name, quick, tmp_path, stop_at_step=1).reports] == [1]


@pytest.mark.parametrize("name", NAMES)
class TestEveryCard:
    @pytest.fixture
    def card(self, name: str) -> TrainerCard:
        return find(name).card()

    def test_survives_json(self, card: TrainerCard) -> None:
        assert TrainerCard.model_validate_json(card.model_dump_json()) == card

    def test_every_trainer_that_can_be_refitted_is_tested_here(self, name: str, card: TrainerCard) -> None:
        assert card.capabilities.refit == (name in dict(REFITTED))

    def test_fits_into_a_catalogue(self, card: TrainerCard) -> None:
        assert card.help
        assert "\n" not in card.help
        assert card.version

    def test_every_parameter_is_a_scalar_with_default_and_help(self, card: TrainerCard) -> None:
        for name, schema in card.params_schema["properties"].items():
            assert schema["type"] in {"number", "integer", "boolean", "string"}, name
            assert "default" in schema, name
            assert schema["description"], name

    def test_every_number_has_bounds(self, card: TrainerCard) -> None:
        for name, schema in card.params_schema["properties"].items():
            if schema["type"] in {"number", "integer"}:
                assert {"minimum", "exclusiveMinimum"} & set(schema), name
                assert {"maximum", "exclusiveMaximum"} & set(schema), name

    def test_conditions_name_real_parameters_and_values(self, card: TrainerCard) -> None:
        properties = card.params_schema["properties"]
        for name, schema in properties.items():
            for parent, values in schema.get("x-when", {}).items():
                assert set(values) <= set(properties[parent]["enum"]), name
                assert "x-when" not in properties[parent], "conditions are one level deep"

    def test_unknown_parameters_are_refused(self, card: TrainerCard) -> None:
        assert card.params_schema["additionalProperties"] is False

    def test_the_default_search_space_fits_the_parameters(self, name: str, card: TrainerCard) -> None:
        for parameter_name, parameter in card.default_search_space.items():
            default = card.params_schema["properties"][parameter_name]["default"]
            assert parameter.contains(default)
            if isinstance(parameter, FloatParameter | IntParameter):
                for bound in (parameter.low, parameter.high):
                    find(name).Params.model_validate({parameter_name: bound})

    def test_objectives_and_the_last_step_refer_to_what_there_is(self, card: TrainerCard) -> None:
        metrics = {metric.name: metric for metric in card.metrics}
        assert len(metrics) == len(card.metrics)
        assert card.default_objectives
        for objective in card.default_objectives:
            assert metrics[objective.metric].direction is objective.direction
        if card.max_step_param is not None:
            assert card.params_schema["properties"][card.max_step_param]["type"] == "integer"

    def test_test_metrics_are_never_reported(self, card: TrainerCard) -> None:
        assert not [metric.name for metric in card.metrics if metric.name.startswith("test_")]
