"""Optimisers: torch's own and two from packages of their own, described without any of them.

To add one: a class here, in the union on the last lines, and its row in `stepsize_workers.training.optimizers`.
Learning rate, schedule, weight decay and clipping belong to every training and stand elsewhere. As with schedules, a
parameter name has one meaning, one range and one default, whichever optimisers use it: shared ones are mixins.
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


class Muon(_Momentum, _Betas, OptimizerBase):
    """Orthogonal updates for matrices, AdamW for all else: often the fastest on hidden layers."""

    name: Literal["muon"] = "muon"
    rest_ratio: float = Field(default=1.0, gt=0, le=1000)
    """Rate of what is no matrix (biases, norms, convolutions, embeddings) as a multiple of learning_rate."""


class Adafactor(OptimizerBase):
    """Adam with a row and a column instead of a matrix of squares, and rates relative to each weight's size."""

    name: Literal["adafactor"] = "adafactor"
    beta2_decay: float = Field(default=-0.8, ge=-1, le=0)
    """Exponent of the step by which the mean of squared gradients comes to forget less."""
    update_clip: float = Field(default=1.0, gt=0, le=1000)
    """Updates are scaled down to this root mean square."""
    smallest_scale: float = Field(default=1e-3, gt=0, le=1)
    """Weights smaller than this get updates as if they had this size."""


class ScheduleFreeAdamW(_Betas, OptimizerBase):
    """AdamW that averages its own way instead of a schedule: keep `schedule` constant (package `schedulefree`)."""

    name: Literal["schedule_free_adamw"] = "schedule_free_adamw"


class Prodigy(_Betas, OptimizerBase):
    """AdamW that estimates its own rate; `learning_rate` is a factor of it, near 1 (package `prodigyopt`)."""

    name: Literal["prodigy"] = "prodigy"
    growth_rate: float = Field(default=1000.0, gt=1, le=1000)
    """The estimated rate grows by no more than this factor an update; 1.02 acts as a warmup."""


def optimizer_types() -> dict[str, type[OptimizerBase]]:
    """Return every optimiser's class by name, in the union's order."""
    union, _ = get_args(Optimizer)
    return {optimizer.model_fields["name"].default: optimizer for optimizer in get_args(union)}


Optimizer = Annotated[
    Sgd | Adagrad | Rmsprop | Adam | AdamW | NAdam | RAdam | Muon | Adafactor | ScheduleFreeAdamW | Prodigy,
    Field(discriminator="name"),
]
