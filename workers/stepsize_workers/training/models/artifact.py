"""A trained model as files: `model.safetensors` (weights) and `config.json` (what they mean).

The layers stand in the configuration by their names and options in `torch.nn`, so that neither loading nor using a
model needs this package: see docs/how-to/load-a-model.md.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

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


def describe_layers(model: nn.Module) -> list[tuple[str, dict[str, object]]]:
    """Return the layers of a sequential model: each one's name in `torch.nn`, and its options."""
    return [
        (type(layer).__name__, {option: getattr(layer, option) for option in _OPTIONS[type(layer)]})
        for layer in model.children()
    ]


def write_model(model_path: Path, config_path: Path, *, state: dict[str, Tensor], config: Mapping[str, object]) -> None:
    """Write a model's weights and its description."""
    save_file(state, model_path)
    config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load(directory: Path | str) -> nn.Module:
    """Return a trained classifier, ready to use.

    It takes images (B, channels, H, W) with pixels in [0, 1], or rows (B, features) as they are, and returns logits
    (B, C).

    Args:
        directory: holds the `model.safetensors` and `config.json` of a trial.
    """
    directory = Path(directory)
    config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    model = nn.Sequential(*(getattr(nn, name)(**options) for name, options in config["layers"]))
    model.load_state_dict(load_file(directory / MODEL_FILE))
    return nn.Sequential(Normalise(**config["normalisation"]), model).eval()
