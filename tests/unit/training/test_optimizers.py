"""torch's optimisers, built from their descriptions."""

import pytest
import torch
from torch import optim
from torch.nn import Parameter

from stepsize.spec.optimizers import (
    Adagrad,
    Adam,
    AdamW,
    NAdam,
    OptimizerBase,
    RAdam,
    Rmsprop,
    Sgd,
    optimizer_types,
)
from stepsize_workers.training.optimizers import ParameterGroup, build_optimizer

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
