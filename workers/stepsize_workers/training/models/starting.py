"""Fine-tuning: a model that starts from what an earlier trial saved, its body slower than its head, or frozen.

The head is a model's last layer, the body everything before it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import Parameter

from stepsize.domain.trial import trial_dir
from stepsize_workers.training.models.artifact import MODEL_FILE

_WHICH = re.compile(r"([A-Za-z0-9_-]+)/([0-9]+)")


class NoStartError(ValueError):
    """There is no such saved model, or nothing of it fits."""


@dataclass(frozen=True)
class Start:
    """What a model got from a saved one."""

    taken: tuple[str, ...]
    """Names of the tensors that are the saved ones."""
    fresh: tuple[str, ...]
    """Those that keep their fresh weights: the saved model has none of that name and shape."""


def saved_model(data_dir: Path, which: str) -> Path:
    """Return the path of the model that a trial saved.

    Args:
        which: `JOB/NUMBER`.

    Raises:
        NoStartError: there is none (any more).
    """
    found = _WHICH.fullmatch(which)
    if found is None:
        raise NoStartError(f"init_from is {which!r}; name a job and its trial: JOB/NUMBER")
    path = trial_dir(data_dir, found[1], int(found[2])) / "artifacts" / MODEL_FILE
    if not path.exists():
        raise NoStartError(f"trial {which} has no {MODEL_FILE} (any more); a job keeps its best three trials' models")
    return path


def start_from(model: nn.Module, path: Path) -> Start:
    """Give a model the saved tensors that have its names and shapes: all of them, or all but another head.

    Raises:
        NoStartError: none fits.
    """
    saved, own = load_file(path), model.state_dict()
    fitting = {name: saved[name] for name, tensor in own.items() if name in saved and saved[name].shape == tensor.shape}
    if not fitting:
        raise NoStartError(f"nothing of {path.parent.parent} fits this model; model, width and depth must be the same")
    with torch.no_grad():
        for name, tensor in fitting.items():
            own[name].copy_(tensor)
    return Start(tuple(fitting), tuple(name for name in own if name not in fitting))


def body_and_head(model: nn.Module) -> tuple[Sequence[Parameter], Sequence[Parameter]]:
    """Return the parameters of everything but the last layer, and those of the last layer."""
    last = [child for child in model.children() if any(True for _ in child.parameters())][-1]
    head = list(last.parameters())
    of_head = set(map(id, head))
    return [each for each in model.parameters() if id(each) not in of_head], head
