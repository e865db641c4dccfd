"""A trained model as files: `model.safetensors` (weights) and `config.json` (what they mean).

The layers of a model that is one chain stand in the configuration by their names and options in `torch.nn`, so that
neither loading nor using it needs this package: see docs/how-to/load-a-model.md. Others are built by their name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stepsize_workers.training.models.registry import build_model
from stepsize_workers.training.models.sizes import Sizes

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"

_OPTIONS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    nn.LeakyReLU: ("negative_slope",),
    nn.Dropout: ("p",),
    nn.Flatten: (),
    nn.ReLU: (),
    nn.Tanh: (),
    nn.Sigmoid: (),
    nn.GELU: (),
    nn.SiLU: (),
}
"""What tells one layer of a kind from another."""


class Normalise(nn.Module):
    """(x − mean) / std for each channel of (B, channels, H, W) or feature of (B, features)."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(*shape))
        self.register_buffer("std", torch.tensor(std).view(*shape))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.get_buffer("mean")) / self.get_buffer("std")


class Scale(nn.Module):
    """Numbers (B, C) as a model gives them, in the units of the target: x · std + mean."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self._mean, self._std = mean, std

    def forward(self, x: Tensor) -> Tensor:
        return x * self._std + self._mean


def describe_model(name: str, sizes: Sizes, model: nn.Module) -> dict[str, object]:
    """Return what is needed to build a model again, as JSON: its name and sizes and, of a chain, its layers."""
    layers = _layers(model)
    described: dict[str, object] = {"model": {"name": name, "sizes": asdict(sizes)}}
    return described if layers is None else {**described, "layers": layers}


def _layers(model: nn.Module) -> list[tuple[str, dict[str, object]]] | None:
    """Return each layer's name in `torch.nn`, and its options; None: it isn't a chain of such layers."""
    layers = list(model.children())
    if not isinstance(model, nn.Sequential) or not all(type(layer) in _OPTIONS for layer in layers):
        return None
    return [
        (type(layer).__name__, {option: getattr(layer, option) for option in _OPTIONS[type(layer)]}) for layer in layers
    ]


def write_model(model_path: Path, config_path: Path, *, state: dict[str, Tensor], config: Mapping[str, object]) -> None:
    """Write a model's weights and its description."""
    save_file(state, model_path)
    config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load(directory: Path | str) -> nn.Module:
    """Return a trained model, ready to use.

    It takes images (B, channels, H, W) with pixels in [0, 1], rows (B, features) as they are, token numbers (B, T),
    observations (B, features) or boards (B, planes, H, W), and returns logits (B, C), logits of the next token
    (B, T, V), the target's number (B, 1), the normalised rows as an autoencoder gives them back (B, features), what a
    grid of cells sees (B, 5 + C, H / 8, W / 8), or the logits of actions or moves (B, A) with values (B,).

    Args:
        directory: holds the `model.safetensors` and `config.json` of a trial.
    """
    directory = Path(directory)
    config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    if "layers" in config:
        model: nn.Module = nn.Sequential(*(getattr(nn, name)(**options) for name, options in config["layers"]))
    else:
        model = _rebuild(**config["model"])
    model.load_state_dict(load_file(directory / MODEL_FILE))
    before = [Normalise(**config["normalisation"])] if "normalisation" in config else []
    after = [Scale(**config["target"])] if "target" in config else []
    return nn.Sequential(*before, model, *after).eval()


def _rebuild(name: str, sizes: Mapping[str, Any]) -> nn.Module:
    chosen = Sizes(**{**sizes, "in_shape": tuple(sizes["in_shape"])})
    return build_model(name, chosen, rng=torch.Generator())
