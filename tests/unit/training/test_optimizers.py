"""torch's optimisers, built from their descriptions."""

from copy import deepcopy

import prodigyopt
import pytest
import torch
from schedulefree import AdamWScheduleFree
from torch import nn, optim
from torch.nn import Parameter

from stepsize.spec.optimizers import (
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Muon,
    NAdam,
    OptimizerBase,
    Prodigy,
    RAdam,
    Rmsprop,
    ScheduleFreeAdamW,
    Sgd,
    optimizer_types,
)
from stepsize_workers.training import optimizers
from stepsize_workers.training.optimizers import (
    GroupRates,
    MissingPackageError,
    ParameterGroup,
    build_optimizer,
    weights_to_use,
)

ROWS: list[tuple[OptimizerBase, type[optim.Optimizer], dict[str, object]]] = [
    (Sgd(momentum=0.5, nesterov=True), optim.SGD, {"momentum": 0.5, "nesterov": True}),
    (Sgd(momentum=0, nesterov=True), optim.SGD, {"momentum": 0.0, "nesterov": False}),
    (Adagrad(eps=1e-3, initial_accumulator=0.5), optim.Adagrad, {"eps": 1e-3, "initial_accumulator_value": 0.5}),
    (
        Rmsprop(momentum=0.1, eps=1e-3, rms_decay=0.8, centered=True),
        optim.RMSprop,
        {"momentum": 0.1, "eps": 1e-3, "alpha": 0.8, "centered": True},
    ),
    (Adam(beta1=0.8, beta2=0.9, amsgrad=True), optim.Adam, {"betas": (0.8, 0.9), "eps": 1e-8, "amsgrad": True}),
    (AdamW(beta1=0.8, beta2=0.9, eps=1e-3), optim.AdamW, {"betas": (0.8, 0.9), "eps": 1e-3, "amsgrad": False}),
    (NAdam(beta1=0.8, momentum_decay=0.1), optim.NAdam, {"betas": (0.8, 0.999), "momentum_decay": 0.1}),
    (RAdam(beta2=0.9, eps=1e-3), optim.RAdam, {"betas": (0.9, 0.9), "eps": 1e-3}),
    (
        Adafactor(beta2_decay=-0.5, update_clip=2.0, smallest_scale=0.1),
        optim.Adafactor,
        {"beta2_decay": -0.5, "d": 2.0, "eps": (None, 0.1)},
    ),
    (ScheduleFreeAdamW(beta1=0.8), AdamWScheduleFree, {"betas": (0.8, 0.999), "train_mode": True}),
    (Prodigy(beta1=0.8, growth_rate=2), prodigyopt.Prodigy, {"betas": (0.8, 0.999), "growth_rate": 2}),
]


def build(spec: OptimizerBase, weight: Parameter) -> optim.Optimizer:
    return build_optimizer(spec, groups=[ParameterGroup([weight])], learning_rate=0.01, weight_decay=0.1)


@pytest.mark.parametrize(("spec", "torch_class", "options"), ROWS)
def test_torchs_own_class_gets_every_parameter(
    spec: OptimizerBase, torch_class: type[optim.Optimizer], options: dict[str, object]
) -> None:
    optimizer = build(spec, Parameter(torch.zeros(1)))
    assert type(optimizer) is torch_class
    group = optimizer.param_groups[0]
    assert {name: group[name] for name in options} == options
    assert (group["lr"], group["weight_decay"]) == (0.01, 0.1)


@pytest.mark.parametrize("name", list(optimizer_types()))
def test_every_optimiser_descends(name: str) -> None:
    weight = Parameter(torch.tensor([1.0]))
    optimizer = build(optimizer_types()[name].model_validate({}), weight)
    for _ in range(20):
        optimizer.zero_grad()
        (weight**2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert abs(weight.item()) < 1  # momentum may swing past 0


@pytest.mark.parametrize("name", list(optimizer_types()))
def test_every_optimiser_is_described(name: str) -> None:
    schema = optimizer_types()[name].model_json_schema()
    assert "\n" not in schema["description"]
    for field, property_ in schema["properties"].items():
        assert "default" in property_
        assert field == "name" or property_["description"]


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 4), nn.Conv1d(4, 2, 1))


def muon(model: nn.Sequential, **options: float) -> optim.Optimizer:
    table, body, *rest = model.parameters()
    groups = [ParameterGroup([table, body]), ParameterGroup(rest, 0.5)]
    return build_optimizer(Muon(**options), groups=groups, learning_rate=0.01, weight_decay=0, tables=[table])


def test_muon_turns_matrices_only_and_keeps_the_ratios() -> None:
    model = two_layers()
    table, body, bias, kernel, _ = model.parameters()
    optimizer = muon(model, rest_ratio=0.1)
    by_parameter = {id(each): group for group in optimizer.param_groups for each in group["params"]}
    assert set(by_parameter) == set(map(id, model.parameters()))
    assert [by_parameter[id(each)]["is_matrix"] for each in (table, body, bias, kernel)] == [False, True, False, False]
    GroupRates(optimizer, 0.01).set(1.0)
    rates = [by_parameter[id(each)]["lr"] for each in (table, body, bias)]
    assert rates == pytest.approx([0.1, 1.0, 0.05])


def test_muons_updates_of_a_matrix_are_orthogonal() -> None:
    weight = Parameter(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))
    before = weight.detach().clone()
    optimizer = build_optimizer(Muon(), groups=[ParameterGroup([weight])], learning_rate=0.1, weight_decay=0)
    (weight * torch.randn(8, 8, generator=torch.Generator().manual_seed(1))).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    singular = torch.linalg.svdvals(before - weight)
    # Five Newton-Schulz steps take singular values into 0.7 to 1.2 of one size; a gradient's spread over decades.
    assert singular.max() / singular.min() < 2


def test_muon_goes_on_from_its_state() -> None:
    def train(model: nn.Sequential, optimizer: optim.Optimizer, n: int) -> None:
        for _ in range(n):
            optimizer.zero_grad()
            x = model[1](model[0](torch.arange(5)))
            model[2](x.T.unsqueeze(0)).square().sum().backward()
            optimizer.step()

    whole, rest = two_layers(), two_layers()
    first = muon(whole)
    train(whole, first, 2)
    rest.load_state_dict(whole.state_dict())
    second = muon(rest)
    second.load_state_dict(deepcopy(first.state_dict()))  # torch would share the tensors
    train(whole, first, 2)
    train(rest, second, 2)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), rest.parameters(), strict=True))


def test_weights_to_use_are_the_average_and_those_trained_come_back() -> None:
    weight = Parameter(torch.tensor([1.0]))
    optimizer = build(ScheduleFreeAdamW(), weight)
    for _ in range(5):
        optimizer.zero_grad()
        (weight**2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    trained = weight.item()
    with weights_to_use(optimizer):
        assert weight.item() != trained
    assert weight.item() == trained
    optimizer.step()  # it is in train mode again


def test_a_missing_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(optimizers, "import_module", missing)
    with pytest.raises(MissingPackageError, match=r"pip install 'stepsize\[optimizers\]'"):
        build(Prodigy(), Parameter(torch.zeros(1)))
