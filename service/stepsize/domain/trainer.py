"""Trainer cards: everything the service knows of a trainer without importing it."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import CategoricalParameter, Parameter, Scalar, SearchSpace


class _Card(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Metric(_Card):
    """One number a trainer reports."""

    name: str
    direction: Direction | None = None
    """Which way it gets better; null for plain measurements such as seconds."""
    unit: str = ""
    range: tuple[float | None, float | None] | None = None
    """The smallest and the largest value possible, null where there is none; null: not known."""


class Fusing(_Card):
    """How a trainer trains several trials together, as one."""

    free: list[str]
    """Parameters that may differ between trials that train together; all others are the same."""


class TrainsAlone(_Card):
    """Values of a parameter with which trials can't train as one: above a number, or some that are listed."""

    above: float | None = None
    values: list[str] = []
    why: str

    def holds(self, value: Scalar | None) -> bool:
        """Tell whether it is such a value."""
        if isinstance(value, str):
            return value in self.values
        return self.above is not None and value is not None and value > self.above

    def holds_for_all(self, parameter: Parameter) -> bool:
        """Tell whether a search over this takes no other values."""
        if isinstance(parameter, CategoricalParameter):
            return all(map(self.holds, parameter.choices))
        return self.holds(parameter.low)

    def words(self, name: str) -> str:
        """Say in which case of the named parameter it is so."""
        return f"{name} > {self.above:g}" if self.above is not None else f"{name} is {' or '.join(self.values)}"


def _as_fusing(said: object) -> object:
    """Read cards of earlier workers, which say that they can't by `false`."""
    return None if said is False else said


class Capabilities(_Card):
    """What may be asked of a trainer; asking for a missing one is refused."""

    range_test: bool = False
    resume: bool = False
    refit: bool = False
    fuse: Annotated[Fusing | None, BeforeValidator(_as_fusing)] = None
    """Null: each trial trains alone."""


class TrainerCard(_Card):
    """A trainer described: parameters as JSON Schema, metrics, defaults and capabilities."""

    name: str
    version: str
    help: str
    params_schema: dict[str, Any]
    """JSON Schema of a flat object of scalars; a property may carry `x-when`, `x-searchable: false`,
    and `x-trains-alone`, by which `TrainsAlone` is meant."""
    metrics: list[Metric]
    step_unit: str
    max_step_param: str | None = None
    """The parameter whose value is the number of the last step (`epochs`); null: not known in advance."""
    default_search_space: SearchSpace
    default_objectives: list[Objective]
    capabilities: Capabilities = Capabilities()

    @property
    def trains_alone(self) -> dict[str, TrainsAlone]:
        """What keeps trials from training as one, by the parameter."""
        properties = self.params_schema.get("properties", {})
        marked = {name: schema.get("x-trains-alone") for name, schema in properties.items()}
        return {name: TrainsAlone(**mark) for name, mark in marked.items() if mark is not None}

    def last_step(self, *params: Mapping[str, Scalar]) -> int | None:
        """Return the last step of a training; None where it isn't known in advance.

        Args:
            params: of which the first that names the step counts; the trainer's default otherwise.
        """
        name = self.max_step_param
        if name is None:
            return None
        default = self.params_schema.get("properties", {}).get(name, {}).get("default")
        found = next((each[name] for each in params if name in each), default)
        return found if isinstance(found, int) else None
