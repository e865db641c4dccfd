"""Trainer cards: everything the service knows of a trainer without importing it."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import SearchSpace


class _Card(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Metric(_Card):
    """One number a trainer reports."""

    name: str
    direction: Direction | None = None
    """Which way it gets better; null for plain measurements such as seconds."""
    unit: str = ""


class Capabilities(_Card):
    """What may be asked of a trainer; asking for a missing one is refused."""

    range_test: bool = False
    resume: bool = False
    refit: bool = False
    fuse: bool = False


class TrainerCard(_Card):
    """A trainer described: parameters as JSON Schema, metrics, defaults and capabilities."""

    name: str
    version: str
    help: str
    params_schema: dict[str, Any]
    """JSON Schema of a flat object of scalars; a property may carry `x-when` and `x-searchable: false`."""
    metrics: list[Metric]
    step_unit: str
    max_step_param: str | None = None
    """The parameter whose value is the number of the last step (`epochs`); null: not known in advance."""
    default_search_space: SearchSpace
    default_objectives: list[Objective]
    capabilities: Capabilities = Capabilities()
