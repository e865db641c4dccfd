"""Plain values that `build` leaves in a model or a task: of a group's members only one is asked for them.

Members share the code of the first one's model, and their task. A number kept there would be one member's for all.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from stepsize_workers.trainers.base import NotFusedError, Params
from stepsize_workers.training.task import Task


class KeptValues:
    """Looks at what each member's `build` has left."""

    def __init__(self, task: Task[Any, Any]) -> None:
        self._task = task
        self._of_task: dict[str, object] | None = None
        self._of_model: dict[str, object] = {}

    def before_build(self) -> None:
        """Note what the task keeps; who builds the first model may add to it."""
        if self._of_task is not None:
            self._of_task = _plain(self._task)

    def after_build(self, model: nn.Module) -> None:
        """Compare with what was there before, and with the first model.

        Raises:
            NotFusedError: this member would keep another value.
        """
        of_task, of_model = _plain(self._task), _of_modules(model)
        if self._of_task is None:
            self._of_task, self._of_model = of_task, of_model
        if name := _changed(self._of_task, of_task):
            raise NotFusedError(f"build changes the task's {name}, which all trials share")
        if name := _changed(self._of_model, of_model):
            raise NotFusedError(f"the model keeps {name}, which is not the same for all trials")


def _plain(owner: object) -> dict[str, object]:
    return {name: value for name, value in vars(owner).items() if isinstance(value, bool | int | float | str | Params)}


def _of_modules(model: nn.Module) -> dict[str, object]:
    kept: dict[str, object] = {}
    for path, module in model.named_modules():
        kept |= {f"{path}.{name}".lstrip("."): value for name, value in _plain(module).items() if name != "training"}
    return kept


def _changed(first: Mapping[str, object], other: Mapping[str, object]) -> str | None:
    """Return the name of a value that differs; None: none does."""
    for name in sorted(first.keys() | other.keys()):
        one, another = first.get(name), other.get(name)
        if one is not another and one != another:  # what is shared of parameters can't be compared, even with itself
            return name
    return None
