"""A function as a trainer: for trainings that need no class."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from stepsize.domain.trainer import Capabilities, Metric
from stepsize.spec.arguments import says_what_it_takes
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import AnyParameter
from stepsize_workers.trainers.base import Params, Trainer, TrialContext

P = TypeVar("P", bound=Params)

_EXAMPLE = (
    '@trainer(name="mine", params=MyParams, metrics={"loss": "minimize"}, '
    'search_space={"learning_rate": Float(1e-5, 1.0, log=True)})'
)


@says_what_it_takes(_EXAMPLE)
def trainer(
    *,
    name: str,
    params: type[P],
    metrics: Mapping[str, str | None],
    search_space: Mapping[str, AnyParameter],
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
        TypeError: an argument is misspelt, missing, or no such thing; the message says what belongs there.
        ValueError: no metric has a direction, or one has another than those.
    """
    _check(params, metrics, search_space)
    directions = _directions(name, metrics)
    objective = next(Objective(metric=metric, direction=better) for metric, better in directions.items() if better)

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
            "default_search_space": dict(search_space),
            "default_objectives": (objective,),
            "capabilities": Capabilities(resume=resume),
            "train": lambda _self, context: function(context),
        }
        return type(function.__name__, (Trainer,), members)

    return decorate


def _directions(trainer_name: str, metrics: Mapping[str, str | None]) -> dict[str, Direction | None]:
    for metric, better in metrics.items():
        if better not in (None, *Direction):
            raise ValueError(f"{metric} gets better by 'minimize' or 'maximize', not {better!r}")
    directions = {metric: None if better is None else Direction(better) for metric, better in metrics.items()}
    if not any(directions.values()):
        raise ValueError(f"trainer {trainer_name!r} has no metric with a direction to tune by")
    return directions


def _check(params: object, metrics: object, search_space: object) -> None:
    """Refuse what would fail later, in words about something else."""
    if not (isinstance(params, type) and issubclass(params, Params)):
        raise TypeError(f"params is a class derived from stepsize.Params, not {params!r}")
    if not isinstance(metrics, Mapping):
        raise TypeError(f'metrics names each metric and its direction, such as {{"loss": "minimize"}}, not {metrics!r}')
    if not isinstance(search_space, Mapping):
        raise TypeError(f'search_space is such as {{"learning_rate": Float(1e-5, 1.0)}}, not {search_space!r}')
    for name, parameter in search_space.items():
        if not isinstance(parameter, AnyParameter):
            raise TypeError(f"search_space: {name} is Float(…), Int(…) or Choice(…), not {parameter!r}")
