"""Samplers: how a search proposes parameters.

To add one: a class here, in the union on the last line, and a builder class that names it, in
workers/stepsize_workers/sampling/builders.py. What else has to know about it asks the class.
"""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from stepsize.spec.base import Spec


class Supports(Spec):
    """What a sampler can model; what it can't, it draws at random or refuses."""

    categorical: bool
    conditional: bool
    multi_objective: bool
    infeasible: bool


class SamplerBase(Spec):
    """What every sampler says of itself."""

    supports: ClassVar[Supports]
    is_heavy: ClassVar[bool] = False
    """Thinks too long, or imports too much, for the process that renews leases: it asks in one of its own."""
    learns_from_others: ClassVar[bool] = False
    """Whether trials it did not propose itself teach it."""
    lists_values: ClassVar[bool] = False
    """Whether it holds every value of a parameter in memory, many times over."""

    seed: int | None = Field(default=None, ge=0, lt=2**32)
    """Makes the search reproducible; null: drawn at submission and written back."""
    name: str


class TpeSampler(SamplerBase):
    """Bayesian search by tree-structured Parzen estimators: the default, good from about 20 trials on any space."""

    supports = Supports(categorical=True, conditional=True, multi_objective=True, infeasible=True)
    learns_from_others = True
    name: Literal["tpe"] = "tpe"
    n_startup_trials: int = Field(default=10, ge=1)
    """Random trials before the model is used."""
    n_ei_candidates: int = Field(default=24, ge=1, le=1000)
    """Candidates drawn from the good density for each proposal."""


class GpSampler(SamplerBase):
    """Bayesian search by a Gaussian process: the fewest trials where each is expensive, up to a few hundred of them.

    It takes around a second for each proposal, more the more trials there are. Parameters with a `when` are drawn at
    random.
    """

    supports = Supports(categorical=True, conditional=False, multi_objective=True, infeasible=True)
    is_heavy = True
    learns_from_others = True
    lists_values = True
    name: Literal["gp"] = "gp"
    n_startup_trials: int = Field(default=10, ge=1)
    """Random trials before the model is used."""
    deterministic: bool = False
    """The same parameters always give exactly the same values: the model then fits no noise."""


class CmaEsSampler(SamplerBase):
    """Evolution of one normal distribution: for a few hundred cheap trials over numbers that depend on each other.

    Categorical parameters and those with a `when` are drawn at random, and pruned trials teach it nothing.
    """

    supports = Supports(categorical=False, conditional=False, multi_objective=False, infeasible=False)
    is_heavy = True
    name: Literal["cmaes"] = "cmaes"
    n_startup_trials: int = Field(default=1, ge=1)
    """Random trials before the distribution is used."""
    population_size: int | None = Field(default=None, ge=2, le=1000)
    """Trials a generation; null: 4 + 3 ln(number of parameters)."""


class NsgaiiSampler(SamplerBase):
    """Genetic search along a Pareto front: for several objectives and hundreds of trials.

    Parameters with a `when` are drawn at random.
    """

    supports = Supports(categorical=True, conditional=False, multi_objective=True, infeasible=True)
    is_heavy = True
    name: Literal["nsgaii"] = "nsgaii"
    population_size: int = Field(default=20, ge=2, le=1000)
    """Trials a generation; the first one is random."""
    crossover_probability: float = Field(default=0.9, ge=0, le=1)
    """Chance that a new trial mixes two parents; else it starts from a single one."""
    mutation_probability: float | None = Field(default=None, ge=0, le=1)
    """Chance that a parameter is drawn anew; null: 1 / number of parameters."""


class QmcSampler(SamplerBase):
    """A sequence that fills the space evenly: better than random for a picture of the whole, whatever has been seen."""

    supports = Supports(categorical=True, conditional=True, multi_objective=True, infeasible=True)
    name: Literal["qmc"] = "qmc"
    sequence: Literal["sobol", "halton"] = "sobol"
    """Sobol is the more even after 2, 4, 8, … trials; Halton after any number, in up to about 10 parameters."""
    scramble: bool = True
    """Shuffle the sequence by the seed; unscrambled it starts in a corner and is the same for every seed."""


class RandomSampler(SamplerBase):
    """Independent uniform draws: the baseline, and the best choice when very many trials run in parallel."""

    supports = Supports(categorical=True, conditional=True, multi_objective=True, infeasible=True)
    name: Literal["random"] = "random"


class GridSampler(SamplerBase):
    """Every combination exactly once: for a picture of the whole landscape, or a table in a paper."""

    supports = Supports(categorical=True, conditional=True, multi_objective=True, infeasible=True)
    name: Literal["grid"] = "grid"
    points: int | None = Field(default=None, ge=1, le=1000)
    """Values for each continuous float, evenly spread on its scale; needed where a float has no step."""


Sampler = Annotated[
    TpeSampler | GpSampler | CmaEsSampler | NsgaiiSampler | QmcSampler | RandomSampler | GridSampler,
    Field(discriminator="name"),
]


def sampler_types() -> list[type[SamplerBase]]:
    """Return every sampler's class, in the union's order."""
    union, _ = get_args(Sampler)
    return list(get_args(union))


def sampler_names(wanted: Callable[[type[SamplerBase]], bool]) -> str:
    """Return the names of the samplers that are as wanted, as a sentence says them."""
    *most, last = [sampler.model_fields["name"].default for sampler in sampler_types() if wanted(sampler)]
    return f"{', '.join(most)} and {last}" if most else last
