"""A trained model as files: `model.safetensors` (weights) and `config.json` (what they mean)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workers.training.models.registry import MODELS
from workers.training.models.sizes import Sizes

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


class Normalise(nn.Module):
    """(x − mean) / std for each channel of (B, channels, H, W)."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.get_buffer("mean")) / self.get_buffer("std")


def write_model(model_path: Path, config_path: Path, *, state: dict[str, Tensor], config: Mapping[str, object]) -> None:
    """Write a model's weights and its description."""
    save_file(state, model_path)
    config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def load(directory: Path | str) -> nn.Module:
    """Return a trained image classifier, ready to use.

    It takes images (B, channels, H, W) with pixels in [0, 1] and returns logits (B, C).

    Args:
        directory: holds the `model.safetensors` and `config.json` of a trial.
    """
    directory = Path(directory)
    config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
    sizes = config["model"]["sizes"]
    model = MODELS[config["model"]["name"]].build(Sizes(**{**sizes, "in_shape": tuple(sizes["in_shape"])}))
    model.load_state_dict(load_file(directory / MODEL_FILE))
    return nn.Sequential(Normalise(**config["normalisation"]), model).eval()
