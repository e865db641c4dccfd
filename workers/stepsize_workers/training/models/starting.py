"""Fine-tuning: a model that starts from what an earlier trial saved, its body slower than its head, or frozen.

The head is a model's last layer, the body everything before it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import Parameter

from stepsize.domain.trial import trial_dir
from stepsize.spec.space import Scalar
from stepsize_workers.training.models.artifact import CONFIG_FILE, MODEL_FILE

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


@dataclass(frozen=True)
class SavedModel:
    """The model that a trial saved."""

    which: str
    """`JOB/NUMBER`."""
    path: Path

    def check_same(self, params: Mapping[str, Scalar]) -> None:
        """Compare parameters with those that the model was trained with.

        Raises:
            NoStartError: names one that differs.
        """
        had = json.loads(self.path.with_name(CONFIG_FILE).read_text(encoding="utf-8"))["params"]
        for name, value in params.items():
            if name in had and had[name] != value:
                raise NoStartError(f"{name} is {value}, and {had[name]} in the model of trial {self.which}")


def saved_model(data_dir: Path, which: str) -> SavedModel:
    """Return the model that a trial saved.

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
    return SavedModel(which, path)


def start_from(model: nn.Module, saved: SavedModel) -> Start:
    """Give a model the saved tensors that have its names and shapes.

    Others are those of its last layer, where it has other classes, and of its first, where its samples are larger.

    Raises:
        NoStartError: no layer's weights fit; biases alone, of which a head of another width has as many, are no start.
    """
    given, own = load_file(saved.path), model.state_dict()
    fitting = {name: given[name] for name, tensor in own.items() if name in given and given[name].shape == tensor.shape}
    if all(tensor.ndim < 2 for tensor in fitting.values()):  # biases: weights have an in and an out
        raise NoStartError(f"no layer of the model of trial {saved.which} has the shape of one here")
    with torch.no_grad():
        for name, tensor in fitting.items():
            own[name].copy_(tensor)
    return Start(tuple(fitting), tuple(name for name in own if name not in fitting))


def freeze_body(model: nn.Module, start: Start) -> None:
    """Keep everything but the last layer as it is.

    Raises:
        NoStartError: some of it has learned nothing.
    """
    body = {id(parameter) for parameter in body_and_head(model)[0]}
    named = {name: parameter for name, parameter in model.named_parameters() if id(parameter) in body}
    if fresh := [name for name in named if name in start.fresh]:
        raise NoStartError(f"freeze is body, and {', '.join(fresh)} would stay fresh: its shape is another than saved")
    for parameter in named.values():
        parameter.requires_grad_(False)


def body_and_head(model: nn.Module) -> tuple[Sequence[Parameter], Sequence[Parameter]]:
    """Return the parameters of everything but the last layer, and those of the last layer.

    That is the last child with parameters; a model whose output goes through another one has it as `last_layer`.
    """
    last = [child for child in model.children() if any(True for _ in child.parameters())][-1]
    head = list(getattr(model, "last_layer", last).parameters())
    of_head = set(map(id, head))
    return [each for each in model.parameters() if id(each) not in of_head], head
