"""Pruners: when to stop a hopeless trial early. To add one: a class here, in the union on the last line, and a builder in workers/search.py."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.base import Spec


class NoPruner(Spec):
    """Every trial runs to its end: reports then never wait for a verdict."""

    name: Literal["none"] = "none"


class MedianPruner(Spec):
    """Stop a trial whose best value so far is worse than the median of earlier trials at the same step: a safe default for 20 trials or more."""

    name: Literal["median"] = "median"
    n_startup_trials: int = Field(default=5, ge=0)
    """Trials that run to their end before any is pruned."""
    n_warmup_steps: int = Field(default=0, ge=0)
    """Steps of each trial in which it is never pruned."""
    interval_steps: int = Field(default=1, ge=1)
    """Steps between two verdicts."""


class AshaPruner(Spec):
    """Asynchronous successive halving: of the trials that reach a rung only the best 1/`reduction_factor` go on. For many trials with long runs."""

    name: Literal["asha"] = "asha"
    min_resource: int = Field(default=1, ge=1)
    """Step of the first rung."""
    reduction_factor: int = Field(default=4, ge=2)
    """Each rung keeps one trial in this many and lies this many times further on."""
    min_early_stopping_rate: int = Field(default=0, ge=0)
    """Rungs skipped at the start, for metrics that mislead early."""


Pruner = Annotated[NoPruner | MedianPruner | AshaPruner, Field(discriminator="name")]
