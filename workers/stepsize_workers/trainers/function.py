"""A function as a trainer: for trainings that need no class."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from stepsize.domain.trainer import Capabilities, Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import SearchSpace
from stepsize_workers.trainers.base import Params, Trainer, TrialContext

P = TypeVar("P", bound=Params)


def trainer(
    *,
    name: str,
    params: type[P],
    metrics: Mapping[str, str | None],
    search_space: SearchSpace,
    version: str = "1",
    help: str = "",  # noqa: A002 - the catalogue's word
    step_unit: str = "epoch",
    max_step_param: str | None = None,
    resume: bool = False,
) -> Callable[[Callable[[TrialContext[P]], None]], type[Trainer[P]]]:
    """Make a trainer of a function `train(context)`; it takes the function's place in its module.

    Args:
        params: the parameters' model.
        metrics: what is reported, and which way it gets better ("minimize", "maximize" or None); the first with a
            direction is what jobs tune by.
        search_space: what jobs search that name none.
        help: one line for the catalogue; left out: the function's docstring.
        resume: the function goes on from `context.checkpoint`.

    Raises:
        ValueError: no metric has a direction, or one has another than those.
    """
    for metric, better in metrics.items():
        if better not in (None, *Direction):
            raise ValueError(f"{metric} gets better by 'minimize' or 'maximize', not {better!r}")
    directions = {metric: None if better is None else Direction(better) for metric, better in metrics.items()}
    objectives = [Objective(metric=metric, direction=better) for metric, better in directions.items() if better]
    if not objectives:
        raise ValueError(f"trainer {name!r} has no metric with a direction to tune by")

    def decorate(function: Callable[[TrialContext[P]], None]) -> type[Trainer[P]]:
        members: dict[str, Any] = {
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
            "__doc__": function.__doc__,
            "name": name,
            "version": version,
            "help": help or (function.__doc__ or name).strip().partition("\n")[0],
            "Params": params,
            "metrics": tuple(Metric(name=metric, direction=better) for metric, better in directions.items()),
            "step_unit": step_unit,
            "max_step_param": max_step_param,
            "default_search_space": search_space,
            "default_objectives": (objectives[0],),
            "capabilities": Capabilities(resume=resume),
            "train": lambda _self, context: function(context),
        }
        return type(function.__name__, (Trainer,), members)

    return decorate
