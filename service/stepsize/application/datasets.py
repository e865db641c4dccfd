"""Data sets as clients see them: list, read, receive, remove, and whether a job can use those it names."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepsize.application.catalogue import load_catalogue
from stepsize.application.pointers import pointer
from stepsize.datasets.cards import (
    DatasetCard,
    TargetKind,
    UnreadableDatasetError,
    built_in_cards,
    is_built_in,
    wrong_target,
)
from stepsize.datasets.files import StoredDataset, list_stored
from stepsize.datasets.inspection import describe
from stepsize.datasets.uploads import NewDataset, accept, remove
from stepsize.errors import CatalogueEntryNotFoundError, FieldError, InvalidRequestError
from stepsize.spec.hints import hint
from stepsize.spec.job import JobSpec, TrainerChoice
from stepsize.spec.space import CategoricalParameter, Scalar, SearchSpace
from stepsize.store.database import Connection


def list_datasets(data_dir: Path, *, max_bytes: int) -> list[DatasetCard]:
    """Return the built-in data sets and the users' own, each sorted by name."""
    stored = list_stored(data_dir)
    return [*built_in_cards(), *(_describe_own(one, stored, max_bytes=max_bytes) for one in stored)]


def read_dataset(data_dir: Path, name: str, *, max_bytes: int) -> DatasetCard:
    """Return one data set.

    Raises:
        CatalogueEntryNotFoundError: no such data set.
    """
    for card in built_in_cards():
        if card.name == name:
            return card
    stored = list_stored(data_dir)
    for one in stored:
        if one.name == name:
            return _describe_own(one, stored, max_bytes=max_bytes)
    raise _not_found(name, stored)


def _describe_own(one: StoredDataset, stored: Sequence[StoredDataset], *, max_bytes: int) -> DatasetCard:
    """Return the card of a user's data set; that its name is taken is a problem too."""
    card = describe(one, max_bytes=max_bytes)
    files = [other.path.name for other in stored if other.name == one.name]
    if len(files) > 1:
        return card.model_copy(update={"problem": f"{' and '.join(files)} have the same name; rename one"})
    if is_built_in(one.name):
        return card.model_copy(update={"problem": "a built-in data set has this name; rename the file"})
    return card


def check_named(connection: Connection, spec: JobSpec, data_dir: Path, *, lease_s: float, max_bytes: int) -> None:
    """Check that the data sets a job names exist and are of the kind its trainer learns from.

    Raises:
        InvalidRequestError: names each field that is wrong.
    """
    if not spec.trains_elsewhere:
        check_choice(connection, spec.trainer, spec.search_space or {}, data_dir, lease_s=lease_s, max_bytes=max_bytes)


def check_choice(
    connection: Connection,
    trainer: TrainerChoice,
    space: SearchSpace,
    data_dir: Path,
    *,
    lease_s: float,
    max_bytes: int,
) -> None:
    """Check the data sets that a choice of trainer and a search space name; as `check_named`."""
    card = load_catalogue(connection, lease_s=lease_s).find_trainer(trainer.name, trainer.version)
    errors = [
        FieldError(at, message)
        for name, schema in card.params_schema.get("properties", {}).items()
        if (kind := schema.get("x-dataset")) is not None
        for at, value in _values_of(trainer, space, name)
        if (message := _why_unusable(data_dir, value, kind, _learned(schema), max_bytes)) is not None
    ]
    if errors:
        raise InvalidRequestError(errors)


def _values_of(trainer: TrainerChoice, space: SearchSpace, name: str) -> Iterator[tuple[str, Scalar]]:
    """Yield the values a parameter is given, each with where it stands in a spec."""
    if name in trainer.params:
        yield pointer("trainer", "params", name), trainer.params[name]
    searched = space.get(name)
    if isinstance(searched, CategoricalParameter):
        for index, choice in enumerate(searched.choices):
            yield pointer("search_space", name, "choices", index), choice


def _learned(schema: Mapping[str, Any]) -> TargetKind:
    """Return what a trainer learns to predict, by the schema of its parameter: classes, unless that says otherwise."""
    return TargetKind(schema.get("x-target", TargetKind.CLASSES))


def _why_unusable(data_dir: Path, name: Scalar, kind: str, learned: TargetKind, max_bytes: int) -> str | None:
    try:
        card = read_dataset(data_dir, str(name), max_bytes=max_bytes)
    except CatalogueEntryNotFoundError as error:
        return f"there is no data set {name!r}; {hint(str(name), error.known)}"
    if card.problem is not None:
        return f"data set {name!r}: {card.problem}"
    if card.kind not in (kind, None):
        return f"data set {name!r} is {card.kind}, and this trainer learns from {kind} data"
    if card.target_kind not in (learned, None):
        return f"data set {name!r}: {wrong_target(learned)}"
    return None


def receive(data_dir: Path, new: NewDataset, upload: Path, *, max_bytes: int) -> DatasetCard:
    """Check an upload and put it into place; receiving the same again changes nothing.

    Args:
        upload: the path that `uploads.incoming` gave, written.
        max_bytes: the most it may unpack or decode to.

    Raises:
        InvalidRequestError: trials could not use it.
        DatasetConflictError: another data set has the name.
    """
    try:
        accept(data_dir, new, upload, max_bytes=max_bytes)
    except UnreadableDatasetError as error:
        raise InvalidRequestError([FieldError(pointer(), str(error))]) from error
    return read_dataset(data_dir, new.name, max_bytes=max_bytes)


def delete_dataset(data_dir: Path, name: str) -> None:
    """Remove a user's data set.

    Raises:
        CatalogueEntryNotFoundError: no such data set.
        DatasetConflictError: it is built in, or several files bear the name.
    """
    if not remove(data_dir, name):
        raise _not_found(name, list_stored(data_dir))


def _not_found(name: str, stored: Sequence[StoredDataset]) -> CatalogueEntryNotFoundError:
    known = [*(card.name for card in built_in_cards()), *(other.name for other in stored)]
    return CatalogueEntryNotFoundError("data set", name, known, hint(name, known))
