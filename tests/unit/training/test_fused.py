"""Trials that train as one, where it could go wrong. That they are as alone: tests/contracts/test_fused.py."""

import copy
import json
import math
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from stepsize_workers.trainers.base import Diverged, NotFusedError
from stepsize_workers.trainers.image_classifier import ImageClassifier
from stepsize_workers.trainers.text_classifier import TextClassifier
from stepsize_workers.training.fused.joint_run import JointRun
from stepsize_workers.training.fused.optimizers import STACKED, JointSteps, OwnSteps, RowSteps, joint_steps
from stepsize_workers.training.fused.stack import Stack
from stepsize_workers.training.optimizers import ParameterGroup
from stepsize_workers.training.run import Run
from stepsize_workers.training.task import Metrics
from tests.fakes import RecordingContext, RecordingGroup
from tests.unit.training.tiny import N_SAMPLES, TinyParams, TinyTask

CPU = torch.device("cpu")


class NetTask(TinyTask):
    """Two layers, the first at half the rate, and a batch's normalisation between them."""

    def build(self, params: TinyParams, rng: torch.Generator) -> nn.Module:
        model = nn.Sequential(nn.Linear(1, 5, bias=False), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1))
        for parameter in model.parameters():
            nn.init.uniform_(parameter, -1, 1, generator=rng)
        return model

    def parameter_groups(self, model: nn.Module) -> Sequence[ParameterGroup]:
        parameters = tuple(model.parameters())
        return [ParameterGroup(parameters[-2:]), ParameterGroup(parameters[:-2], 0.5)]


class MeasuringTask(NetTask):
    """Its evaluation looks at single numbers, as a loss may not."""

    def evaluate(self, model: nn.Module) -> Metrics:
        return {"val_loss": mse_loss(model(self.x), 3 * self.x).item()}


class LookingTask(NetTask):
    """Its loss looks at a single number."""

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        loss = super().loss(model, batch)
        return loss * 2 if loss.item() > 1 else loss


class NoisyTask(NetTask):
    """Its loss draws random numbers."""

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        return super().loss(model, batch) + torch.rand(()) * 0


class CollectingTask(NetTask):
    """What it learns from is its own."""

    def collect(self, model: nn.Module, epoch: int, rng: torch.Generator) -> None:
        """Do nothing: that it may is enough."""


class KeepingTask(NetTask):
    """Its models, or the task, keep what was fixed when they were built."""

    kept_by = "nobody"

    def build(self, params: TinyParams, rng: torch.Generator) -> nn.Module:
        model = super().build(params, rng)
        owner = {"model": model, "layer": model[0], "task": self}.get(self.kept_by)  # type: ignore[index]
        if owner is not None:
            owner.own = params.weight_decay
        return model


class KeptByModel(KeepingTask):
    kept_by = "model"


class KeptByLayer(KeepingTask):
    kept_by = "layer"


class KeptByTask(KeepingTask):
    kept_by = "task"


class ReplacingTask(NetTask):
    """It keeps the parameters of whom it has built for last."""

    def build(self, params: TinyParams, rng: torch.Generator) -> nn.Module:
        self.params = params
        return super().build(params, rng)


class ReadingTask(NetTask):
    """It reads its parameters here and there."""

    def read(self, where: str) -> float:
        """Return what this place knows of the parameters; it may refuse to know any."""
        return 0.0

    def prepare(self, params: TinyParams, *, device: torch.device, data_dir: Path) -> None:
        super().prepare(params, device=device, data_dir=data_dir)
        self.read("prepare")

    def batches(self, epoch: int, rng: torch.Generator) -> Sequence[Tensor]:
        self.read("batches")
        return super().batches(epoch, rng)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        return super().loss(model, batch) + self.read("loss")

    def evaluate(self, model: nn.Module) -> Metrics:
        return {"val_loss": super().evaluate(model)["val_loss"] + self.read("evaluate")}

    def test(self, model: nn.Module) -> Metrics:
        return {"test_value": self.read("test")}


def reading(at: str, read: Callable[[TinyParams], float]) -> type[ReadingTask]:
    """Return a task that reads its parameters at one place."""

    class Reading(ReadingTask):
        def read(self, where: str) -> float:
            return read(self.params) if where == at else 0.0

    return Reading


def make_contexts(directory: Path, *own: dict[str, object], **shared: object) -> list[RecordingContext[TinyParams]]:
    plain: dict[str, object] = {"batch_size": 7, "epochs": 3, "optimizer": "sgd", **shared}
    return [
        RecordingContext(TinyParams.model_validate({**plain, **params}), directory / str(k), seed=k)
        for k, params in enumerate(own)
    ]


def train_group(
    task: type[TinyTask],
    members: Sequence[RecordingContext[TinyParams]],
    *waiting: Sequence[RecordingContext[TinyParams]],
) -> RecordingGroup[TinyParams]:
    group = RecordingGroup(members, list(waiting))
    task().train_group(group)
    assert set(group.errors) == {*members, *(context for arrived in waiting for context in arrived)}
    return group


def train_alone(task: type[TinyTask], like: RecordingContext[TinyParams]) -> RecordingContext[TinyParams]:
    context = RecordingContext(like.params, like.directory / "alone", seed=like.seed, checkpoint=like.checkpoint)
    task().train(context)
    return context


def check_as_alone(task: type[TinyTask], *members: RecordingContext[TinyParams]) -> None:
    for member in members:
        alone = train_alone(task, member)
        assert [step for step, _ in member.reports] == [step for step, _ in alone.reports]
        for (_, one), (_, other) in zip(member.reports, alone.reports, strict=True):
            for name in one.keys() - {"train_time_s"}:
                assert one[name] == pytest.approx(other[name], rel=1e-4), name  # sums in another order


def make_stack(params: Sequence[TinyParams]) -> tuple[Stack, list[Run[TinyParams, Tensor]]]:
    """Return a stack, and the same trainings on their own."""
    task = NetTask()
    task.prepare(params[0], device=CPU, data_dir=Path("/nonexistent"))

    def begin(k: int) -> Run[TinyParams, Tensor]:
        return Run.begin(task, params[k], seed=k, device=CPU)

    return Stack([begin(k) for k in range(len(params))]), [begin(k) for k in range(len(params))]


AMOUNTS: list[dict[str, object]] = [
    {},
    {"weight_decay": 0.1, "momentum": 0.0, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"weight_decay": 0.01, "momentum": 0.5, "beta2": 0.99, "rms_decay": 0.9, "momentum_decay": 0.1},
]


@pytest.mark.parametrize(
    ("optimizer", "switches"),
    [
        *((kind.model_fields["name"].default, {}) for kind in STACKED),
        *(("sgd", {"nesterov": True}), ("adam", {"amsgrad": True}), ("adamw", {"amsgrad": True})),
        ("rmsprop", {"centered": True}),
    ],
)
@pytest.mark.parametrize("own", [AMOUNTS, AMOUNTS[:1] * 3], ids=["of each", "of all"])
def test_stacked_optimisers_take_torchs_steps(
    optimizer: str, switches: dict[str, object], own: list[dict[str, object]]
) -> None:
    params = [TinyParams.model_validate({"optimizer": optimizer, **switches, **amounts}) for amounts in own]
    rng = torch.Generator().manual_seed(0)
    ways: list[Callable[[Stack], JointSteps]] = [STACKED[type(params[0].chosen_optimizer())], joint_steps]
    for way in ways:
        stack, alone = make_stack(params)
        steps = way(stack)
        for rates in np.exp(np.random.default_rng(1).uniform(-6, -2, (2, 6, len(own)))):  # two epochs
            steps.begin_epoch(rates)
            for update, row in enumerate(rates):
                stack.gradients.zero_()
                for k, run in enumerate(alone):
                    for segment in stack.segments:
                        gradient = torch.randn(segment.shape, generator=rng)
                        segment.of_row(stack.gradients[k]).copy_(gradient)
                        segment.parameter(run).grad = gradient.clone()
                    run.rates.set(row[k])
                    run.optimizer.step()
                with torch.no_grad():
                    steps.step(update)
        for mine, run in zip(stack.runs, alone, strict=True):
            # Single precision; centred, rmsprop divides by the root of a difference, which loses digits.
            torch.testing.assert_close(mine.model.state_dict(), run.model.state_dict(), rtol=1e-4, atol=1e-5)
            kept, kept_alone = mine.optimizer.state_dict()["state"], run.optimizer.state_dict()["state"]
            torch.testing.assert_close(kept, kept_alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "way"), [("adamw", RowSteps), ("nadam", STACKED), ("muon", OwnSteps), ("adafactor", OwnSteps)]
)
def test_the_fastest_way_is_taken(optimizer: str, way: object) -> None:
    stack, _ = make_stack([TinyParams.model_validate({"optimizer": optimizer})] * 2)
    steps = joint_steps(stack)
    expected = STACKED[type(steps.specs[0])] if way is STACKED else way
    assert type(steps) is expected


def test_normalisation_parameter_groups_and_a_short_last_batch(tmp_path: Path) -> None:
    members = make_contexts(tmp_path, {"learning_rate": 0.1}, {"learning_rate": 0.01}, {"learning_rate": 0.03})
    train_group(NetTask, members)
    check_as_alone(NetTask, *members)


def test_batches_are_gathered_for_one_update_and_clipped_for_each_alone(tmp_path: Path) -> None:
    members = make_contexts(tmp_path, {"clip_norm": 0.1}, {"clip_norm": 0.0}, {"clip_norm": 2.0}, grad_accumulation=3)
    train_group(NetTask, members)
    check_as_alone(NetTask, *members)


def test_members_of_one_seed_share_their_batches(tmp_path: Path) -> None:
    members = make_contexts(tmp_path, {"learning_rate": 0.1}, {"learning_rate": 0.01})
    for member in members:
        member.seed = 5
    train_group(NetTask, members)
    check_as_alone(NetTask, *members)


def test_one_report_an_epoch_for_all(tmp_path: Path) -> None:
    assert train_group(NetTask, make_contexts(tmp_path, {}, {}, {})).n_reports == 3


@pytest.mark.parametrize("batch_size", [7, 12])  # 12: epochs of two updates, of which the last shows no loss
def test_an_exploded_member_leaves_at_once_and_the_others_are_as_alone(tmp_path: Path, batch_size: int) -> None:
    rates: list[dict[str, object]] = [{"learning_rate": rate} for rate in (0.01, 1e4, 0.1)]
    members = make_contexts(tmp_path, *rates, epochs=4, batch_size=batch_size)
    group = train_group(TinyTask, members)
    error = group.errors[members[1]]
    assert isinstance(error, Diverged)
    with pytest.raises(Diverged) as alone:
        train_alone(TinyTask, members[1])
    assert (error.step, error.learning_rate) == (alone.value.step, alone.value.learning_rate)
    assert error.step == 1
    assert members[1].reports == []
    check_as_alone(TinyTask, members[0], members[2])


def test_no_number_of_a_member_that_is_none_reaches_another() -> None:
    params = [TinyParams.model_validate({"optimizer": "adam", "clip_norm": 1.0})] * 3
    stack, _ = make_stack(params)
    steps = joint_steps(stack)
    steps.begin_epoch(np.full((1, 3), 0.1))
    stack.gradients.fill_(0.5)
    stack.gradients[1] = math.nan
    with torch.no_grad():
        steps.step(0)
    assert stack.numbers[1].isnan().all()
    assert stack.numbers[[0, 2]].isfinite().all()


def test_who_joins_begins_at_its_first_epoch_or_after_its_checkpoint(tmp_path: Path) -> None:
    first = make_contexts(tmp_path / "first", {"epochs": 1}, {"epochs": 4, "learning_rate": 0.05})
    fresh, interrupted = make_contexts(tmp_path / "later", {"learning_rate": 0.02}, {"schedule": "cosine", "epochs": 4})
    interrupted.checkpoint = train_alone(NetTask, interrupted).checkpoint_after(2)
    train_group(NetTask, first, [fresh], [interrupted])
    assert [step for step, _ in fresh.reports] == [1, 2, 3]
    assert [step for step, _ in interrupted.reports] == [3, 4]
    check_as_alone(NetTask, *first, fresh, interrupted)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "nadam", "adagrad", "muon"])
def test_the_only_one_left_goes_on_as_alone_and_who_joins_it_as_one_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    sizes: list[int] = []
    make_update = JointRun.make_update

    def noting(joint: JointRun, update: int, groups: Sequence[Sequence[object]]) -> Tensor:
        if update == 0:
            sizes.append(len(joint.runs))
        return make_update(joint, update, groups)

    monkeypatch.setattr(JointRun, "make_update", noting)
    amounts: dict[str, object] = {"learning_rate": 0.01, "optimizer": optimizer, "clip_norm": 0.5}
    first = make_contexts(tmp_path / "first", {"epochs": 2}, {"epochs": 6}, **amounts)
    later = make_contexts(tmp_path / "later", {"epochs": 1}, **amounts)
    train_group(NetTask, first, [], [], [], later)  # its epochs: 2 members, 2, 1, 1, 2, 1
    assert sizes == [2, 2, 2]
    check_as_alone(NetTask, *first, *later)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "nadam", "muon"])
def test_a_members_checkpoint_is_gone_on_with_alone(tmp_path: Path, optimizer: str) -> None:
    members = make_contexts(tmp_path, {"learning_rate": 0.01}, {"learning_rate": 0.02}, optimizer=optimizer)
    train_group(NetTask, members)
    for member in members:
        checkpoint = member.checkpoint_after(1)
        resumed = RecordingContext(member.params, tmp_path / "resumed", seed=member.seed, checkpoint=checkpoint)
        NetTask().train(resumed)
        for (_, one), (_, other) in zip(resumed.reports, member.reports[1:], strict=True):
            assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)


def test_a_checkpoint_holds_its_own_member_alone(tmp_path: Path) -> None:
    many = make_contexts(tmp_path / "many", *[{} for _ in range(12)], optimizer="adamw", epochs=1)
    train_group(NetTask, many)
    alone = train_alone(NetTask, many[0])
    assert many[0].checkpoints[1].stat().st_size < 1.2 * alone.checkpoints[1].stat().st_size


def test_a_member_told_to_stop_keeps_its_best_model_and_the_others_go_on(tmp_path: Path) -> None:
    members = make_contexts(tmp_path, {}, {})
    members[0].stop_at_step = 2
    train_group(NetTask, members)
    assert [len(member.reports) for member in members] == [2, 3]
    assert all((member.directory / "artifacts/model.safetensors").exists() for member in members)


def test_a_member_cancelled_within_an_epoch_writes_nothing_more(tmp_path: Path) -> None:
    members = make_contexts(tmp_path, {}, {})
    members[0].stop_after_polls = 2
    group = train_group(NetTask, members)
    assert len(members[0].reports) == 1
    assert group.errors[members[0]] is None
    assert not (members[0].directory / "artifacts").exists()
    check_as_alone(NetTask, members[1])


def test_a_member_that_fails_takes_nobody_along(tmp_path: Path) -> None:
    members = make_contexts(tmp_path, {}, {})

    def refuse(step: int, write: object) -> None:
        raise OSError("the disk is full")

    members[0].save_checkpoint = refuse  # type: ignore[method-assign]
    group = train_group(NetTask, members)
    assert isinstance(group.errors[members[0]], OSError)
    check_as_alone(NetTask, members[1])


def test_an_evaluation_may_look_at_numbers(tmp_path: Path) -> None:
    members = make_contexts(tmp_path, {}, {})
    train_group(MeasuringTask, members)
    check_as_alone(MeasuringTask, *members)


@pytest.mark.parametrize(("task", "words"), [(LookingTask, "item"), (NoisyTask, "random")])
def test_a_loss_that_cant_be_mapped_says_why_before_anything_is_reported(
    tmp_path: Path, task: type[TinyTask], words: str
) -> None:
    members = make_contexts(tmp_path, {}, {})
    group = RecordingGroup(members)
    with pytest.raises(NotFusedError, match=words) as caught:
        task().train_group(group)
    assert "bug" not in str(caught.value), "torch asks its own authors to look"
    assert not group.n_reports
    assert not group.errors


@pytest.mark.parametrize("where", ["prepare", "batches", "loss", "evaluate"])
@pytest.mark.parametrize(
    "read",
    [
        lambda params: params.weight_decay,
        lambda params: params.model_dump()["weight_decay"],
        lambda params: len(params.model_dump_json()),
        lambda params: params.model_copy(update={"batch_size": 3}).weight_decay,
        lambda params: copy.deepcopy(params).weight_decay,
        lambda params: pickle.loads(pickle.dumps(params)).weight_decay,
        lambda params: dict(params)["weight_decay"],
        lambda params: vars(params)["weight_decay"],
    ],
    ids=["itself", "dumped", "as JSON", "changed", "copied", "pickled", "iterated", "vars"],
)
def test_what_differs_between_members_is_not_read_for_all_of_them(
    tmp_path: Path, where: str, read: Callable[[TinyParams], float]
) -> None:
    group = RecordingGroup(make_contexts(tmp_path, {"weight_decay": 0.1}, {"weight_decay": 0.2}))
    with pytest.raises(NotFusedError, match="reads weight_decay"):
        reading(where, read)().train_group(group)
    assert not group.n_reports
    assert not group.errors


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (KeptByModel, "the model keeps own"),
        (KeptByLayer, "the model keeps 0.own"),
        (KeptByTask, "build changes the task's own"),
        (ReplacingTask, "build changes the task's params"),
    ],
)
def test_what_is_kept_of_one_member_is_not_taken_for_all(tmp_path: Path, task: type[TinyTask], words: str) -> None:
    group = RecordingGroup(make_contexts(tmp_path, {"weight_decay": 0.1}, {"weight_decay": 0.2}))
    with pytest.raises(NotFusedError, match=words):
        task().train_group(group)
    assert not group.n_reports
    assert not group.errors


@pytest.mark.parametrize("task", [KeptByModel, KeptByLayer, KeptByTask, ReplacingTask])
def test_what_is_kept_alike_does_no_harm(tmp_path: Path, task: type[TinyTask]) -> None:
    first = make_contexts(tmp_path / "first", {"epochs": 1}, {"epochs": 3}, weight_decay=0.1)
    later = make_contexts(tmp_path / "later", {"epochs": 3}, weight_decay=0.1)
    if task is ReplacingTask:  # all of the parameters are alike
        first, later = first[1:], later
    train_group(task, first, later)
    check_as_alone(task, *first, *later)


@pytest.mark.parametrize("where", ["prepare", "batches", "loss", "evaluate", "test"])
@pytest.mark.parametrize(
    "read",
    [
        lambda params: params.weight_decay + params.chosen_optimizer().momentum,
        lambda params: pickle.loads(pickle.dumps(params)).model_dump()["weight_decay"],
    ],
)
def test_what_members_share_is_read_as_ever(tmp_path: Path, where: str, read: Callable[[TinyParams], float]) -> None:
    shared = {"weight_decay": 0.1, "momentum": 0.5, "learning_rate": 0.01}
    members = make_contexts(tmp_path, {}, {}, **shared)
    task = reading(where, read)
    train_group(task, members)
    check_as_alone(task, *members)


@pytest.mark.parametrize("where", ["prepare", "batches", "loss", "evaluate"])
def test_members_that_differ_in_what_is_not_read_train_as_one(tmp_path: Path, where: str) -> None:
    members = make_contexts(tmp_path, {"learning_rate": 0.1}, {"learning_rate": 0.01}, weight_decay=0.1)
    task = reading(where, lambda params: params.weight_decay)
    train_group(task, members)
    check_as_alone(task, *members)


def test_what_is_read_for_one_member_at_its_end_is_its_own(tmp_path: Path) -> None:
    members = make_contexts(tmp_path, {"weight_decay": 0.1}, {"weight_decay": 0.2})
    train_group(reading("test", lambda params: params.model_dump()["weight_decay"] + params.weight_decay), members)
    configs = [json.loads((member.directory / "artifacts/config.json").read_text()) for member in members]
    assert [config["metrics"]["test_value"] for config in configs] == [0.2, 0.4]


def test_who_joins_with_another_value_of_what_was_read_ends_the_group(tmp_path: Path) -> None:
    first = make_contexts(tmp_path / "first", {"epochs": 1}, {"epochs": 3}, weight_decay=0.1)
    later = make_contexts(tmp_path / "later", {"weight_decay": 0.2})
    group = RecordingGroup(first, [later])
    with pytest.raises(RuntimeError, match="no longer be trained as one: the task reads weight_decay"):
        reading("loss", lambda params: params.weight_decay)().train_group(group)


def test_what_is_known_to_stand_in_the_way_is_said_beforehand() -> None:
    assert "dropout" in str(ImageClassifier.why_not_fused(ImageClassifier.Params.model_validate({"dropout": 0.1})))
    assert "lstm" in str(TextClassifier.why_not_fused(TextClassifier.Params.model_validate({"model": "lstm"})))
    assert "collects" in str(CollectingTask.why_not_fused(TinyParams.model_validate({})))
    assert ImageClassifier.why_not_fused(ImageClassifier.Params.model_validate({})) is None
    assert CollectingTask.card().capabilities.fuse is None
    assert NetTask.card().capabilities.fuse is not None


def test_free_parameters_are_those_that_the_loop_alone_works_with() -> None:
    fusing = ImageClassifier.capabilities.fuse
    assert fusing is not None
    assert {"learning_rate", "epochs", "schedule", "gamma", "momentum", "beta2", "weight_decay"} <= set(fusing.free)
    assert not {"batch_size", "grad_accumulation", "optimizer", "nesterov", "width"} & set(fusing.free)


def test_the_last_batch_of_these_tests_is_short() -> None:
    assert 1 < N_SAMPLES % 7 < 7
