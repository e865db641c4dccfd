"""Fine-tuning: a saved model is where a training starts, frozen or slower in its body."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stepsize_workers.trainers.image_classifier import ImageClassifier, ImageClassifierParams
from stepsize_workers.training.models import MODELS, Sizes
from stepsize_workers.training.models.starting import NoStartError, body_and_head, freeze_body, saved_model, start_from
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

QUICK = {"dataset": "digits", "model": "mlp", "width": 16, "epochs": 3, "learning_rate": 0.03}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory of its own, with the parsed data of all tests."""
    folder = tmp_path / "data"
    folder.mkdir()
    (DATA_DIR / "cache").mkdir(exist_ok=True)
    (folder / "cache").symlink_to(DATA_DIR / "cache")
    return folder


def train(data_dir: Path, directory: Path, **params: object) -> RecordingContext[ImageClassifierParams]:
    chosen = ImageClassifierParams.model_validate(QUICK | params)
    context = RecordingContext(params=chosen, directory=directory, data_dir=data_dir)
    ImageClassifier().train(context)
    return context


def model_of(context: RecordingContext[ImageClassifierParams]) -> dict[str, torch.Tensor]:
    return dict(load_file(context.artifact("model.safetensors")))


@pytest.fixture
def saved(data_dir: Path) -> RecordingContext[ImageClassifierParams]:
    """What trial 3 of job `early` has learned and saved."""
    return train(data_dir, data_dir / "jobs" / "early" / "trials" / "3")


def test_it_starts_where_the_other_ended(
    data_dir: Path, saved: RecordingContext[ImageClassifierParams], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = train(data_dir, tmp_path, init_from="early/3", learning_rate=1e-6, epochs=1)
    assert "[starts from early/3: 6 tensors]" in capsys.readouterr().out
    best = max(values["val_accuracy"] for _, values in saved.reports)
    assert context.reports[0][1]["val_accuracy"] == pytest.approx(best, abs=0.01)


@pytest.mark.usefixtures("saved")
def test_a_frozen_body_stays_and_the_head_learns(
    data_dir: Path, saved: RecordingContext[ImageClassifierParams], tmp_path: Path
) -> None:
    before, after = model_of(saved), model_of(train(data_dir, tmp_path, init_from="early/3", freeze="body"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"5.weight", "5.bias"}


@pytest.mark.usefixtures("saved")
def test_the_body_trains_with_a_multiple_of_the_rate(data_dir: Path, tmp_path: Path) -> None:
    def moved(ratio: float) -> dict[str, float]:
        start = {"init_from": "early/3", "epochs": 1, "learning_rate": 1e-4, "momentum": 0.0, "batch_size": 4096}
        after = model_of(train(data_dir, tmp_path / str(ratio), **start, body_rate_ratio=ratio))
        before = load_file(saved_model(data_dir, "early/3").path)
        return {name: (after[name] - before[name]).norm().item() for name in before}

    equal, slower = moved(1.0), moved(0.1)  # one update of plain gradient descent
    assert slower["5.weight"] == pytest.approx(equal["5.weight"], rel=1e-2)  # float32 differences of nearby weights
    assert slower["1.weight"] == pytest.approx(0.1 * equal["1.weight"], rel=5e-2)


@pytest.mark.usefixtures("saved")
def test_another_head_is_fresh(data_dir: Path) -> None:
    sizes = Sizes((1, 8, 8), 4, 16, 2, "relu", 0.0)
    start = start_from(MODELS["mlp"].build(sizes), saved_model(data_dir, "early/3"))
    assert start.fresh == ("5.weight", "5.bias")


@pytest.mark.usefixtures("saved")
def test_what_is_not_there_or_does_not_fit_is_said(data_dir: Path) -> None:
    with pytest.raises(NoStartError, match=r"name a job and its trial: JOB/NUMBER"):
        saved_model(data_dir, "early")
    with pytest.raises(NoStartError, match=r"trial early/4 has no model\.safetensors"):
        saved_model(data_dir, "early/4")
    for sizes in (Sizes((1, 9, 9), 4, 8, 2, "relu", 0.0), Sizes((1, 8, 8), 10, 8, 2, "relu", 0.0)):  # 10: its bias fits
        with pytest.raises(NoStartError) as caught:
            start_from(MODELS["mlp"].build(sizes), saved_model(data_dir, "early/3"))
        assert str(caught.value) == "no layer of the model of trial early/3 has the shape of one here"


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"init_from": "early/3", "depth": 3}, "depth is 3, and 2 in the model of trial early/3"),
        ({"init_from": "early/3", "model": "cnn"}, "model is cnn, and mlp in the model of trial early/3"),
        ({"freeze": "body"}, "freeze is body, but init_from names no model"),
    ],
)
def test_a_training_that_can_not_start_so_names_the_field(
    data_dir: Path, tmp_path: Path, params: dict[str, object], why: str
) -> None:
    with pytest.raises(NoStartError, match=why):
        train(data_dir, tmp_path, **params)


@pytest.mark.usefixtures("saved")
def test_a_layer_that_has_learned_nothing_is_not_frozen(data_dir: Path) -> None:
    model = MODELS["mlp"].build(Sizes((1, 9, 9), 10, 16, 2, "relu", 0.0))  # images were 8 × 8
    start = start_from(model, saved_model(data_dir, "early/3"))
    with pytest.raises(NoStartError, match=r"1\.weight would stay fresh"):
        freeze_body(model, start)


_HEADS = {
    "resnet50": [(9, 256), (9,)],
    "actor_critic": [(9, 8), (9,), (1, 8), (1,)],  # the policy's and the value's
    "policy_value_net": [(9, 512), (9,), (1, 512), (1,)],
    "detector": [(14, 32, 1, 1), (14,)],  # a cell's box, confidence and 9 classes
}


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_has_a_body_and_a_head(name: str) -> None:
    is_text = name in ("gpt", "transformer", "lstm")
    shape = (9,) if is_text or name == "autoencoder" else (1, 8, 8)
    sizes = Sizes(shape, 9, 8, 2, "relu", 0.0, vocabulary=20 if is_text else 0, heads=2, bottleneck=3)
    model = MODELS[name].build(sizes)
    body, head = body_and_head(model)
    assert [tuple(each.shape) for each in head] == _HEADS.get(name, [(9, head[0].shape[1]), (9,)])
    assert len(body) + len(head) == len(list(model.parameters()))


def test_who_reads_out_by_the_table_of_tokens_has_it_as_head() -> None:
    model = MODELS["gpt"].build(Sizes((9,), 20, 8, 2, "gelu", 0.0, vocabulary=20, heads=2, each_token=True))
    _, head = body_and_head(model)
    assert [tuple(each.shape) for each in head] == [(20, 8)]
