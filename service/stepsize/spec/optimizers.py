"""Optimisers: torch's own, described without torch.

To add one: a class here, in the union on the last line, and its row in `stepsize_workers.training.optimizers`. Learning
rate, schedule, weight decay and clipping belong to every training and stand elsewhere. As with schedules, a parameter
name has one meaning, one range and one default, whichever optimisers use it: shared ones are mixins.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field

from stepsize.spec.base import Spec


class OptimizerBase(Spec):
    """What every optimiser has."""

    name: str


class _Momentum(Spec):
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of the last update that is carried into the next; 0: none."""


class _Eps(Spec):
    eps: float = Field(default=1e-8, gt=0, le=1)
    """Added to the divisor; larger values damp steps where gradients are tiny."""


class _Betas(_Eps):
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the running mean of gradients."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the running mean of squared gradients."""


class _Amsgrad(Spec):
    amsgrad: bool = False
    """Divide by the largest running mean of squared gradients so far (AMSGrad)."""


class Sgd(_Momentum, OptimizerBase):
    """Plain gradient descent with momentum: often the best final accuracy, at the price of tuning the rate."""

    name: Literal["sgd"] = "sgd"
    nesterov: bool = False
    """Look ahead along the momentum before taking the gradient; without momentum it changes nothing."""


class Adagrad(_Eps, OptimizerBase):
    """Rates that shrink with each weight's accumulated gradients: for sparse features."""

    name: Literal["adagrad"] = "adagrad"
    initial_accumulator: float = Field(default=0.0, ge=0, le=1000)
    """Where the accumulated squared gradients begin; larger values make the first steps smaller."""


class Rmsprop(_Momentum, _Eps, OptimizerBase):
    """Gradients divided by their running size: recurrent nets and reinforcement learning."""

    name: Literal["rmsprop"] = "rmsprop"
    rms_decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the running mean of squared gradients (torch's alpha)."""
    centered: bool = False
    """Divide by the gradients' standard deviation instead of their size."""


class Adam(_Betas, _Amsgrad, OptimizerBase):
    """Momentum and per-weight rates: learns well at a wide range of rates, a safe first choice."""

    name: Literal["adam"] = "adam"


class AdamW(_Betas, _Amsgrad, OptimizerBase):
    """Adam with weight decay apart from the gradient: the usual choice for Transformers."""

    name: Literal["adamw"] = "adamw"


class NAdam(_Betas, OptimizerBase):
    """Adam with Nesterov's look-ahead: sometimes a little faster than Adam."""

    name: Literal["nadam"] = "nadam"
    momentum_decay: float = Field(default=0.004, ge=0, le=1)
    """How slowly beta1 is warmed up; larger is faster."""


class RAdam(_Betas, OptimizerBase):
    """Adam that starts as plain momentum until its variance can be trusted: makes a warmup unnecessary."""

    name: Literal["radam"] = "radam"


def optimizer_types() -> dict[str, type[OptimizerBase]]:
    """Return every optimiser's class by name, in the union's order."""
    union, _ = get_args(Optimizer)
    return {optimizer.model_fields["name"].default: optimizer for optimizer in get_args(union)}


Optimizer = Annotated[Sgd | Adagrad | Rmsprop | Adam | AdamW | NAdam | RAdam, Field(discriminator="name")]
