"""What a task is: the one page to read before writing your own. `Loop` in loop.py drives it.

Derive from `TaskTrainer` in trainer.py, which is a task and a trainer, and write `build`, `batches`, `loss` and
`evaluate`. Keep `loss` and `evaluate` pure tensor code: no `.item()`, no branch on a tensor's value. The loop makes
numbers of what they return, once an epoch, and such a task can be trained for many learning rates at once.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from stepsize.domain.trainer import Capabilities, Metric
from stepsize.spec.objective import Direction
from stepsize_workers.trainers.base import Trainer
from stepsize_workers.training.optimizers import ParameterGroup
from stepsize_workers.training.params import FUSING, TrainingParams

P = TypeVar("P", bound=TrainingParams)
B = TypeVar("B")

Metrics = Mapping[str, Tensor | float]
"""Numbers, or tensors of no dimension, by their metrics' names."""

LOOP_METRICS = (
    Metric(name="train_loss", direction=Direction.MINIMIZE, range=(0.0, None)),
    Metric(name="learning_rate", range=(0.0, None)),
    Metric(name="train_time_s", unit="s", range=(0.0, None)),
)
"""What the loop itself reports each epoch; a task's `metrics` are these and those of its `evaluate`."""


@dataclass(frozen=True)
class Extent:
    """How large the training data is."""

    n_samples: int
    sample_bytes: int
    """Of one sample's inputs, on the device."""


class Task(Trainer[P], Generic[P, B]):
    """A model, a loss and batches of type `B`.

    An instance serves one trial: keep on `self` what `prepare` loads. Methods are called in the order they stand here.
    The first of `default_objectives` decides which epoch's model is kept.
    """

    step_unit = "epoch"
    max_step_param = "epochs"
    capabilities = Capabilities(range_test=True, resume=True, fuse=FUSING)
    constant_answer_called: ClassVar[str] = "the same answer to every input"
    """What `constant_answer` is, in words that follow "no better than"."""

    def prepare(self, params: P, *, device: torch.device, data_dir: Path) -> None:
        """Load what the other methods need, and put it on the device.

        Trials that train as one are prepared once, and reading a parameter that differs between them has them train
        alone.
        """

    @abstractmethod
    def build(self, params: P, rng: torch.Generator) -> nn.Module:
        """Return a fresh model, on any device, its weights drawn from `rng`; torch's global generator is seeded too."""

    def parameter_groups(self, model: nn.Module) -> Sequence[ParameterGroup]:
        """Return what trains with which multiple of the learning rate; every schedule keeps these ratios."""
        return [ParameterGroup(tuple(model.parameters()))]

    @abstractmethod
    def batches(self, epoch: int, rng: torch.Generator) -> Sequence[B]:
        """Return an epoch's batches, shuffled by `rng`; epochs count from 1, and each has as many batches.

        With the data in memory, indices are the cheapest batches:
        `torch.split(torch.randperm(n, generator=rng), batch_size)`. A last batch of one sample is left out.
        """

    def n_samples(self, batch: B) -> int | None:
        """Return how many samples a batch holds: the length of its first tensor; None (`batch_size`) without one."""
        return _length(batch)

    @abstractmethod
    def loss(self, model: nn.Module, batch: B) -> Tensor:
        """Return the mean loss over a batch, a scalar with a gradient."""

    @abstractmethod
    def evaluate(self, model: nn.Module) -> Metrics:
        """Return the metrics of an epoch, such as `val_loss`; the model is in eval mode, gradients are off."""

    # -- what follows may be left out, as `prepare` and `parameter_groups` may --

    def collect(self, model: nn.Module, epoch: int, rng: torch.Generator) -> None:
        """Make the data that an epoch trains on, before its `batches`, where the model itself makes it, or chance does.

        Episodes of an agent, games against itself, scenes composed afresh: keep them on `self`. All randomness comes
        from `rng`; the model is in eval mode, gradients are off, and its weights stay as they are.
        """

    def state(self) -> Mapping[str, Tensor]:
        """Return what `collect` has kept that later epochs or pictures need: it goes into checkpoints."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned, in an interrupted training's next attempt."""

    def test(self, model: nn.Module) -> Metrics:
        """Return metrics named `test_…` of the best epoch's model, on data never used to choose; for its files only."""
        return {}

    def constant_answer(self) -> Metrics:
        """Return metrics of an epoch as the best answer has them that is the same for every input.

        Where a training ends with none of them better, its trial says that nothing was learned. Leave room for luck
        where a metric counts few samples; {}: that is never said.
        """
        return {}

    def figures(self, model: nn.Module) -> Mapping[str, str | bytes]:
        """Return pictures of the best epoch's model on validation data, by name: SVG as text, or PNG as bytes."""
        return {}

    def describe(self, model: nn.Module) -> Mapping[str, object]:
        """Return what is needed to use the saved model, as JSON: it goes into its `config.json`."""
        return {}

    def train_on_validation(self) -> None:
        """Add the validation data to the training data; called after `prepare` in a refit."""
        raise NotImplementedError(f"{self.name} can't be refitted")

    def content_hash(self) -> str | None:
        """Return what identifies the data, to stand on the trial; called after `prepare`."""
        return None

    def extent(self) -> Extent | None:
        """Return how large the training data is; None: batches too large for memory are not foreseen."""
        return None


def _length(batch: object) -> int | None:
    """Return the length of a batch that is a tensor, or of the first one in a tuple, a list or a mapping."""
    while isinstance(batch, Mapping | tuple | list):
        batch = next(iter(batch.values() if isinstance(batch, Mapping) else batch), None)
    return len(batch) if isinstance(batch, Tensor) and batch.ndim else None
