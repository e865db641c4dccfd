"""A trainer that is a plain function."""

from pydantic import Field

from stepsize.spec.space import FloatParameter
from stepsize_workers.trainers.base import Params, TrialContext
from stepsize_workers.trainers.function import trainer


class ParabolaParams(Params):
    """Where to look."""

    x: float = Field(default=2.0, ge=-10, le=10)
    """The place."""


@trainer(
    name="parabola",
    params=ParabolaParams,
    metrics={"loss": "minimize"},
    search_space={"x": FloatParameter(type="float", low=-10, high=10)},
)
def train(context: TrialContext[ParabolaParams]) -> None:
    """Reports a parabola."""
    for step in (1, 2, 3, 4):
        if context.should_stop() or context.report(step, {"loss": (context.params.x / step) ** 2}):
            return
