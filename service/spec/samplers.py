"""Samplers: how a search proposes parameters.

To add one: a class here, in the union on the last line, and a builder in workers/search.py.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.spec.base import Spec


class Supports(Spec):
    """What a sampler can model; what it can't, it draws at random or refuses."""

    categorical: bool
    conditional: bool
    multi_objective: bool
    infeasible: bool


class _Sampler(Spec):
    supports: ClassVar[Supports]

    seed: int | None = Field(default=None, ge=0, lt=2**32)
    """Makes the search reproducible; null: drawn at submission and written back."""


class TpeSampler(_Sampler):
    """Bayesian search by tree-structured Parzen estimators: the default, good from about 20 trials on any space."""

    supports = Supports(categorical=True, conditional=True, multi_objective=True, infeasible=True)
    name: Literal["tpe"] = "tpe"
    n_startup_trials: int = Field(default=10, ge=1)
    """Random trials before the model is used."""
    n_ei_candidates: int = Field(default=24, ge=1)
    """Candidates drawn from the good density for each proposal."""


class RandomSampler(_Sampler):
    """Independent uniform draws: the baseline, and the best choice when very many trials run in parallel."""

    supports = Supports(categorical=True, conditional=True, multi_objective=True, infeasible=True)
    name: Literal["random"] = "random"


class GridSampler(_Sampler):
    """Every combination exactly once: for a picture of the whole landscape, or a table in a paper."""

    supports = Supports(categorical=True, conditional=True, multi_objective=True, infeasible=True)
    name: Literal["grid"] = "grid"
    points: int | None = Field(default=None, ge=1, le=1000)
    """Values for each continuous float, evenly spread on its scale; needed where a float has no step."""


Sampler = Annotated[TpeSampler | RandomSampler | GridSampler, Field(discriminator="name")]
