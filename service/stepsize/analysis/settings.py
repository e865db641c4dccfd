"""What jobs are set to, and which of them may be compared.

A setting is the trainer, or a parameter that a job fixes or searches. A parameter that one of two jobs does not have is
no difference between them: every default is written into a job, so it belongs to another choice (momentum to sgd).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepsize.analysis.sample import Sample
from stepsize.domain.evidence import Evidence
from stepsize.spec.roles import BATCH_NAME, RATE_NAMES, choices_of
from stepsize.spec.space import CategoricalParameter, IntParameter, Scalar, SearchSpace

TRAINER = "trainer"
_DATA = ("dataset", "environment", "game")
"""What trainers call that which is learned from."""
APART = frozenset({TRAINER, *_DATA})
"""With another choice of these, values are about something else."""
_NO_CHOICE = frozenset({*RATE_NAMES, "split_seed", "checkpoint_every"})
"""Not compared: the rate is what is told, the others change nothing that one would choose."""
_MOST_VALUES = 8
"""Values of a whole number up to which a search of it is a choice between them."""


@dataclass(frozen=True)
class Axis:
    """What must be the same for values to stand on one axis."""

    metric: str
    direction: str
    data: tuple[Scalar | None, ...]
    trainer: str


@dataclass(frozen=True)
class Setup:
    """A job's settings."""

    fixed: Mapping[str, Scalar]
    """The trainer, and the parameters that are the same in every trial."""
    searched: SearchSpace
    """What is searched beside the learning rate."""

    def same(self, name: str) -> str | None:
        """Return what a setting is, as text that is equal where the settings are; None: the job doesn't have it."""
        if name in self.searched:
            return self.searched[name].model_dump_json()
        return repr(self.fixed[name]) if name in self.fixed else None

    @property
    def names(self) -> list[str]:
        """All settings, the trainer first."""
        return [*self.fixed, *(name for name in self.searched if name not in self.fixed)]


def axis_of(evidence: Evidence) -> Axis:
    """Return the axis on which a job's values stand."""
    objective = evidence.objectives[0]
    return Axis(
        objective.metric, objective.direction, tuple(evidence.fixed.get(name) for name in _DATA), evidence.trainer
    )


def setup_of(evidence: Evidence) -> Setup:
    """Return a job's settings."""
    searched = {name: parameter for name, parameter in evidence.space.items() if name not in RATE_NAMES}
    fixed = {name: value for name, value in evidence.fixed.items() if name not in searched}
    return Setup({TRAINER: evidence.trainer, **fixed}, searched)


def choices_in(setup: Setup, sample: Sample, name: str) -> list[Scalar]:
    """Return which choices of a setting a job's trials show; none where it has no such setting, or too many values."""
    if name in setup.fixed:
        return [setup.fixed[name]]
    if name not in setup.searched or not _is_choice(name, setup.searched):
        return []
    return list({repr(value): value for value in sample.column(name) if value is not None}.values())


def names_to_compare(setups: Sequence[Setup], samples: Sequence[Sample]) -> list[str]:
    """Return the settings of which there are several choices, the trainer and the data first."""
    names = dict.fromkeys([TRAINER, *_DATA, *(name for setup in setups for name in setup.names)])
    return [name for name in names if name not in _NO_CHOICE and _is_varied(name, setups, samples)]


def _is_varied(name: str, setups: Sequence[Setup], samples: Sequence[Sample]) -> bool:
    found = {
        repr(choice)
        for setup, sample in zip(setups, samples, strict=True)
        for choice in choices_in(setup, sample, name)
    }
    return len(found) > 1


def _is_choice(name: str, space: SearchSpace) -> bool:
    parameter = space[name]
    match parameter:
        case CategoricalParameter():
            return name in choices_of(space) or name == BATCH_NAME
        case IntParameter():
            return name == BATCH_NAME or (parameter.n_values is not None and parameter.n_values <= _MOST_VALUES)
        case _:
            return False
