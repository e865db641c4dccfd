"""The parameters every task inherits: learning rate, optimiser, schedule and how batches become updates.

The optimisers' and schedules' own parameters are generated from `stepsize.spec.optimizers` and `schedules`: a class
added there is searchable here. Each is conditional on the choice it belongs to (`x-when`).
"""

from collections.abc import Mapping
from copy import copy
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from stepsize.domain.trainer import Fusing, TrainsAlone
from stepsize.spec.base import Spec
from stepsize.spec.optimizers import OptimizerBase, optimizer_types
from stepsize.spec.schedules import ScheduleBase, schedule_types
from stepsize.spec.space import Scalar
from stepsize_workers.trainers.base import ONE_FOR_ALL, Params, applies_when

S = TypeVar("S", bound=Spec)


class Footprint(StrEnum):
    """What a parameter does to the memory an update takes; written into its annotation.

    A parameter without one shapes the network or the data: another value is another measurement.
    """

    NONE = "none"
    """Nothing."""
    AMOUNT = "amount"
    """All amounts but 0 do the same."""


def choice_fields(
    selector: str, types: Mapping[str, type[Spec]], *, default: str, help_text: str, footprint: Footprint | None = None
) -> dict[str, Any]:
    """Return the flat fields of a choice between classes: the selector itself, then each parameter once.

    A parameter that not every class has carries `x-when` with the classes that do.

    Args:
        selector: the flat parameter that names the class.
        types: class by name; their field `name` is left out.
        footprint: of all the classes' parameters; where it is `NONE`, of the selector too.

    Raises:
        TypeError: two classes give one parameter name different meanings.
    """
    fields: dict[str, Any] = {
        selector: (
            _marked(Literal[tuple(types)], footprint if footprint is Footprint.NONE else None),
            Field(default=default, description=help_text),
        ),
    }
    users: dict[str, list[str]] = {}
    infos: dict[str, FieldInfo] = {}
    for name, spec in types.items():
        for field, info in spec.model_fields.items():
            if field == "name":
                continue
            if not _means_the_same(infos.setdefault(field, info), info):
                raise TypeError(f"{selector} {name!r} gives {field!r} another meaning than {users[field]}")
            users.setdefault(field, []).append(name)
    for field, info in infos.items():
        flat = copy(info)
        if len(users[field]) < len(types):
            names: list[Scalar] = [*users[field]]
            flat.json_schema_extra = applies_when(**{selector: names})
        fields[field] = (_marked(info.annotation, footprint), flat)
    return fields


def _marked(annotation: Any, footprint: Footprint | None) -> Any:
    return annotation if footprint is None else Annotated[annotation, footprint]


def choose(types: Mapping[str, type[S]], name: str, params: Params) -> S:
    """Return the chosen class built from the flat parameters that belong to it."""
    chosen = types[name]
    return chosen(**{field: getattr(params, field) for field in chosen.model_fields if field != "name"})


def _means_the_same(one: FieldInfo, other: FieldInfo) -> bool:
    return (one.annotation, one.default, one.metadata, one.description) == (
        other.annotation,
        other.default,
        other.metadata,
        other.description,
    )


class _Core(Params):
    learning_rate: Annotated[float, Footprint.NONE] = Field(default=0.01, gt=0, le=1e4)
    """The highest rate the schedule reaches."""
    batch_size: Annotated[int, Footprint.NONE] = Field(default=64, ge=1, le=2**20)
    """Samples whose gradient is computed at once; see `grad_accumulation`."""
    epochs: Annotated[int, Footprint.NONE] = Field(default=5, ge=1, le=100_000)
    """Passes over the training data."""
    weight_decay: Annotated[float, Footprint.NONE] = Field(default=0.0, ge=0, le=10)
    """L2 penalty on every weight, as the optimiser applies it (adamw: apart from the gradient)."""
    clip_norm: Annotated[float, Footprint.NONE] = Field(default=0.0, ge=0, le=1e6)
    """Scale gradients down to this total norm; 0: never."""
    grad_accumulation: Annotated[int, Footprint.NONE] = Field(default=1, ge=1, le=4096)
    """Batches whose gradients are averaged for one update: the effective batch is this times batch_size."""
    mixed_precision: bool = False
    """Compute in bfloat16 where that is safe, on CUDA; elsewhere it changes nothing."""
    checkpoint_every: Annotated[int, Footprint.NONE] = Field(default=1, ge=1, le=100_000, json_schema_extra=ONE_FOR_ALL)
    """Epochs between two checkpoints: an interrupted trial goes on from its last one."""


if TYPE_CHECKING:

    class _Choices(_Core):
        optimizer: str
        schedule: str

else:
    _Choices = create_model(
        "_Choices",
        __base__=_Core,
        **choice_fields(
            "optimizer",
            optimizer_types(),
            default="sgd",
            help_text="How gradients become updates; each choice has its own parameters.",
            footprint=Footprint.AMOUNT,
        ),
        **choice_fields(
            "schedule",
            schedule_types(),
            default="constant",
            help_text="How the learning rate moves over the training; each choice has its own parameters.",
            footprint=Footprint.NONE,
        ),
    )


if TYPE_CHECKING:
    OptimizerName = str
else:
    OptimizerName = Literal[tuple(optimizer_types())]


def optimizer_field(default: str) -> Any:
    """Return the field of a parameter `optimizer` with another default than every task's."""
    return Field(default=default, description=_Choices.model_fields["optimizer"].description)


class TrainingParams(_Choices):
    """What every task can be told; derive your own from it and add fields."""

    def chosen_optimizer(self) -> OptimizerBase:
        """Return the optimiser with its own parameters."""
        return choose(optimizer_types(), self.optimizer, self)

    def chosen_schedule(self) -> ScheduleBase:
        """Return the schedule with its own parameters."""
        return choose(schedule_types(), self.schedule, self)

    def why_not_fused(self) -> str | None:
        """Return why trials with these parameters can't train as one; None: nothing is known against it."""
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and (mark := extra.get("x-trains-alone")) is not None:
                alone = TrainsAlone.model_validate(mark)
                if alone.holds(getattr(self, name)):
                    return f"{alone.words(name)}: {alone.why}"
        return None

    def shaping(self) -> dict[str, Scalar]:
        """Return the parameters that bear on the memory an update takes, amounts by one that stands for them all."""
        shaping: dict[str, Scalar] = {}
        for name, value in self.model_dump(mode="json").items():
            field = type(self).model_fields[name]
            if Footprint.NONE in field.metadata:
                continue
            is_amount = Footprint.AMOUNT in field.metadata and isinstance(value, float)
            shaping[name] = _typical(field) if is_amount and value else value
        return shaping


def _typical(field: FieldInfo) -> Scalar:
    """Return a value that stands for all of an amount, so that a search over it is measured once."""
    default: Scalar = field.default
    return default or 0.5


def _free_parameters() -> list[str]:
    """Return the parameters that may differ between trials that train as one: amounts that the loop alone works with.

    Switches of an optimiser, such as `nesterov`, choose between computations and are the same for all.
    """
    free = ["learning_rate", "epochs", "weight_decay", "clip_norm", "checkpoint_every", "schedule"]
    for schedule in schedule_types().values():
        free += schedule.model_fields
    for optimizer in optimizer_types().values():
        free += [name for name, field in optimizer.model_fields.items() if field.annotation is float]
    return sorted(set(free) - {"name"})


FUSING = Fusing(free=_free_parameters())
"""What tasks say on their cards."""
