"""Models by name. To add one: a file that builds it from `Sizes` and fills its weights, and a row here.

A task offers the models that take what its samples are: `names_for`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

import torch
from torch import nn

from stepsize_workers.training.models import actor_critic, detector, lstm, mlp, policy_value, resnet, transformer
from stepsize_workers.training.models.autoencoder import autoencoder
from stepsize_workers.training.models.cnn import cnn
from stepsize_workers.training.models.sizes import Sizes


class Use(StrEnum):
    """What a model makes of what."""

    IMAGES = "images"
    """(B, channels, H, W) → (B, C)"""
    ROWS = "rows"
    """(B, F) → (B, C)"""
    TEXTS = "texts"
    """Token numbers (B, T) → (B, C)"""
    NEXT_TOKEN = "next token"
    """Token numbers (B, T) → (B, T, V), each knowing those before it alone."""
    RECONSTRUCTION = "reconstruction"
    """(B, F) → (B, F) through a bottleneck."""
    ACTIONS = "actions"
    """Observations (B, F) → logits of actions (B, A), and values (B,)."""
    MOVES = "moves"
    """Boards (B, planes, H, W) → logits of moves (B, A), and values (B,) from −1 to 1."""
    BOXES = "boxes"
    """Scenes (B, channels, H, W) → (B, 5 + C, H / 8, W / 8): for each cell, see detector.py."""


class Init(StrEnum):
    """Who fills a model's weights."""

    OURS = "ours"
    """To suit the model and its activation, drawn from the trial's own generator."""
    TORCH = "torch"
    """As PyTorch's layers do when they are made, from its global generator."""


@dataclass(frozen=True)
class ModelRow:
    """One model of the registry."""

    help: str
    uses: frozenset[Use]
    build: Callable[[Sizes], nn.Module]
    initialise: Callable[[nn.Module, Sizes, torch.Generator], None] = mlp.initialise
    """Fills all weights from the generator."""
    help_for: Mapping[Use, str] = field(default_factory=dict)
    """What it is for a use that changes that."""


_IMAGES = frozenset({Use.IMAGES})


def _resnet(n_layers: int, of: str) -> ModelRow:
    return ModelRow(f"{n_layers} layers, {of}", _IMAGES, partial(resnet.resnet, n_layers=n_layers), resnet.initialise)


MODELS = {
    "mlp": ModelRow(
        "fully connected layers",
        frozenset({Use.IMAGES, Use.ROWS, Use.TEXTS}),
        mlp.mlp,
        help_for={Use.TEXTS: "fully connected layers on the mean of the words' embeddings"},
    ),
    "cnn": ModelRow("convolutions that halve the image", _IMAGES, cnn),
    "resnet18": _resnet(18, "residual blocks"),
    "resnet34": _resnet(34, "residual blocks"),
    "resnet50": _resnet(50, "residual blocks with bottlenecks"),
    "gpt": ModelRow(
        "a transformer whose tokens see those before them",
        frozenset({Use.TEXTS, Use.NEXT_TOKEN}),
        transformer.gpt,
        transformer.initialise,
    ),
    "transformer": ModelRow(
        "a transformer whose tokens see each other",
        frozenset({Use.TEXTS}),
        transformer.transformer,
        transformer.initialise,
    ),
    "lstm": ModelRow("a recurrent net", frozenset({Use.TEXTS, Use.NEXT_TOKEN}), lstm.lstm, lstm.initialise),
    "autoencoder": ModelRow("layers that narrow and widen again", frozenset({Use.RECONSTRUCTION}), autoencoder),
    "actor_critic": ModelRow(
        "two nets of fully connected layers, one that acts and one that foresees",
        frozenset({Use.ACTIONS}),
        actor_critic.ActorCritic,
        actor_critic.initialise,
    ),
    "policy_value_net": ModelRow(
        "residual blocks, then a head that chooses moves and one that judges",
        frozenset({Use.MOVES}),
        policy_value.PolicyValueNet,
        policy_value.initialise,
    ),
    "detector": ModelRow(
        "convolutions that halve a scene to a grid, whose cells say what they see",
        frozenset({Use.BOXES}),
        detector.detector,
        detector.initialise,
    ),
}


def names_for(use: Use) -> tuple[str, ...]:
    """Return the names of the models for a use."""
    return tuple(name for name, row in MODELS.items() if use in row.uses)


def helps_for(use: Use) -> dict[str, str]:
    """Return what each model for a use is."""
    return {name: MODELS[name].help_for.get(use, MODELS[name].help) for name in names_for(use)}


def build_model(name: str, sizes: Sizes, *, rng: torch.Generator, init: Init = Init.OURS) -> nn.Module:
    """Return the model with fresh weights: `ours` are drawn from `rng`, `torch`'s from the global generator."""
    row = MODELS[name]
    model = row.build(sizes)
    if init is Init.OURS:
        row.initialise(model, sizes, rng)
    return model
