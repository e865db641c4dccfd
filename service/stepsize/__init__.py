"""Stepsize tunes hyperparameters as a service, and understands the learning rate.

`tune` tunes a function where it is, `Client` speaks to a running service; `Float`, `Int`, `Choice` and `Bool` say what
to search; `trainer`, `Task` and the rest are for whoever writes a trainer. What isn't listed here may change without
notice. `__init__.pyi` tells type checkers where each name lives.

The service itself (specification, record, HTTP API, command line) lives in the sub-packages; none of them imports torch
or `stepsize_workers`, and neither does this one until a name that lives there is asked for.
"""

import importlib

from stepsize.extras import how_to_install

__version__ = "0.1.0"
__all__ = [
    "FUSING",
    "LOOP_METRICS",
    "ONE_FOR_ALL",
    "ApiError",
    "AsyncClient",
    "Bool",
    "Capabilities",
    "Checkpoint",
    "Choice",
    "Client",
    "ClientError",
    "Direction",
    "Diverged",
    "Event",
    "Extent",
    "ExternalTrial",
    "Float",
    "Int",
    "Job",
    "JobReport",
    "JobSpec",
    "Metric",
    "Metrics",
    "Objective",
    "ParameterGroup",
    "Params",
    "RangeTest",
    "SearchSpace",
    "ServerLateError",
    "ServerUnreachableError",
    "Sweep",
    "Task",
    "Trainer",
    "TrainingParams",
    "Trial",
    "TrialContext",
    "TuneError",
    "TuneResult",
    "TuneTrial",
    "WaitTimeoutError",
    "WrongValueError",
    "__version__",
    "applies_when",
    "figures",
    "load_model",
    "sweep_learning_rate",
    "trainer",
    "tune",
]

_HOMES = {
    "stepsize.client": (
        "ApiError AsyncClient Client ClientError Event ExternalTrial Job JobReport RangeTest ServerLateError "
        "ServerUnreachableError Trial WaitTimeoutError WrongValueError"
    ),
    "stepsize.domain.trainer": "Capabilities Metric",
    "stepsize.infeasibility": "Diverged",
    "stepsize.spec.job": "JobSpec",
    "stepsize.spec.objective": "Direction Objective",
    "stepsize.spec.shorthand": "Bool Choice Float Int",
    "stepsize.spec.space": "SearchSpace",
    "stepsize.tuning": "TuneError TuneResult TuneTrial tune",
    "stepsize_workers.trainers.base": ("ONE_FOR_ALL Checkpoint Params Sweep Trainer TrialContext applies_when"),
    "stepsize_workers.trainers.function": "trainer",
    "stepsize_workers.training.figures": "figures",
    "stepsize_workers.training.models": "load_model",
    "stepsize_workers.training.optimizers": "ParameterGroup",
    "stepsize_workers.training.params": "FUSING TrainingParams",
    "stepsize_workers.training.sweeping": "sweep_learning_rate",
    "stepsize_workers.training.task": "LOOP_METRICS Extent Metrics",
    "stepsize_workers.training.trainer": "Task",
}
"""Module → the public names that live there."""
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}
_NAMES_AT_HOME = {"Task": "TaskTrainer", "load_model": "load"}
"""What is called otherwise where it lives: there a task is only half of a trainer."""


def __getattr__(name: str) -> object:
    """Import what is public when it is first asked for: a slot process never pays for the client.

    Raises:
        ImportError: it lives in an extra that isn't installed; the message says which.
    """
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME_OF[name]
    try:
        module = importlib.import_module(home)
    except ModuleNotFoundError as error:
        if not home.startswith("stepsize_workers"):
            raise
        needs = f"stepsize.{name} needs: {how_to_install(['worker'])}  ({error.name} is missing)"
        raise ImportError(needs, name=error.name) from None
    if home.endswith(f".{name}"):
        return module
    return getattr(module, _NAMES_AT_HOME.get(name, name))


def __dir__() -> list[str]:
    """Return the public names, for completion."""
    return sorted(__all__)
