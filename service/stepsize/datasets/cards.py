"""What data sets are: their cards, the built-in ones', and what all of them must have."""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from stepsize.spec.wording import counted

SNAPSHOT = Path(__file__).with_name("cards.json")
"""The built-in data sets' cards, generated from workers/."""

NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""What a data set may be called: it becomes a file name, so nothing that means something to a shell or a path."""
FEWEST_SAMPLES = 10
MOST_CLASSES = 1000

_VALIDATION_FRAC = 0.15
_TEST_FRAC = 0.15


class DatasetKind(StrEnum):
    """What one sample is."""

    IMAGE = "image"
    TABULAR = "tabular"
    TEXTS = "texts"
    """Some words."""
    CHARACTERS = "characters"
    """A stretch of a long text; the next character of each is what is predicted."""


class DatasetFormat(StrEnum):
    """How a data set is stored."""

    BUILT_IN = "built_in"
    NPZ = "npz"
    CSV = "csv"
    PARQUET = "parquet"
    IMAGES = "images"


class TargetKind(StrEnum):
    """What is predicted of a sample."""

    CLASSES = "classes"
    NUMBER = "number"


class Split(BaseModel):
    """How many samples each part has."""

    model_config = ConfigDict(frozen=True)

    train: int
    validation: int
    test: int


class DatasetCard(BaseModel):
    """A data set described. What can't be known without reading all of it is null."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    help: str = ""
    format: DatasetFormat
    kind: DatasetKind | None = None
    n: int | None = None
    """Samples in all; of a long text, its characters."""
    shape: list[int] | None = None
    """Of one sample: [channels, height, width], or [features]. Null, too, of texts."""
    n_classes: int | None = None
    """Null, too, where the target is no class."""
    target: str | None = None
    """The column to predict, where one was named."""
    target_kind: TargetKind | None = None
    """Whether the target is one of a few classes, or a number. Null, too, where it is the next character."""
    content_hash: str | None = None
    """SHA-256 of its content: drives the split, and stands on every trial. Null: it can't be read."""
    split: Split | None = None
    size_bytes: int | None = None
    problem: str | None = None
    """Why trials can't use it; null: nothing is known to be wrong."""


class UnreadableDatasetError(ValueError):
    """A data set that can't be used; the message says why, and what to do."""


class UnknownDatasetError(LookupError):
    """No data set has this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"there is no data set {name!r}; known: {', '.join(known)}")
        self.name = name


@lru_cache(maxsize=1)
def built_in_cards() -> tuple[DatasetCard, ...]:
    """Return the cards of the data sets that come along."""
    return tuple(TypeAdapter(list[DatasetCard]).validate_json(SNAPSHOT.read_bytes()))


def is_built_in(name: str) -> bool:
    """Tell whether a data set that comes along has this name."""
    return any(card.name == name for card in built_in_cards())


def check_amounts(n: int, n_targets: int, kind: TargetKind) -> None:
    """Check that there is something to split and to learn.

    Args:
        n_targets: how many different values the target takes.

    Raises:
        UnreadableDatasetError: there is not.
    """
    if n < FEWEST_SAMPLES:
        raise UnreadableDatasetError(
            f"{counted(n, 'sample')} can't be split into train, validation and test; have at least {FEWEST_SAMPLES}"
        )
    if n_targets < 2:
        raise UnreadableDatasetError("all samples have the same target; there is nothing to learn")
    if kind is TargetKind.CLASSES and n_targets > MOST_CLASSES:
        raise UnreadableDatasetError(f"there are more than {MOST_CLASSES} classes; is another column the target?")


def wrong_target(learned: TargetKind) -> str:
    """Return why a data set can't be used by a trainer that learns to predict another kind of target."""
    match learned:
        case TargetKind.CLASSES:
            return "its target is a number, and this trainer tells classes apart; name another target"
        case TargetKind.NUMBER:
            return "its target is a class, and this trainer predicts numbers; name another target"


def split_sizes(n: int) -> Split:
    """Return how many of `n` samples are for training (70 %), validation (15 %) and test (15 %)."""
    n_validation, n_test = round(_VALIDATION_FRAC * n), round(_TEST_FRAC * n)
    return Split(train=n - n_validation - n_test, validation=n_validation, test=n_test)


def training_samples(params: Mapping[str, object]) -> int | None:
    """Return how many samples a trainer with these fixed parameters trains on: no batch holds more.

    Of built-in data sets only, for theirs is written down; None: not known.
    """
    name, fraction = params.get("dataset"), params.get("train_fraction", 1.0)
    card = next((card for card in built_in_cards() if card.name == name), None)
    if card is None or card.split is None or not isinstance(fraction, int | float):
        return None
    return max(1, round(card.split.train * fraction))
