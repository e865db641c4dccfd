"""What the parameters of a search space are to the subject: its learning rate, its batch size, its choices."""

from stepsize.spec.space import CategoricalParameter, SearchSpace

RATE_NAMES = ("learning_rate", "lr")
"""What trainers call the learning rate; external ones choose their own names."""
BATCH_NAME = "batch_size"
ACCUMULATION_NAME = "grad_accumulation"


def rate_name(space: SearchSpace) -> str | None:
    """Return the parameter that is the searched learning rate, or None."""
    return next((name for name in RATE_NAMES if name in space), None)


def choices_of(space: SearchSpace) -> dict[str, CategoricalParameter]:
    """Return the parameters that are a choice between several: optimizers, schedules, but not listed rates."""
    return {
        name: parameter
        for name, parameter in space.items()
        if isinstance(parameter, CategoricalParameter)
        and len(parameter.choices) > 1
        and name not in (*RATE_NAMES, BATCH_NAME)
    }
