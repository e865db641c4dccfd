"""The catalogue: trainers, samplers, pruners, schedules and optimisers, as clients may name them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

import stepsize.domain
from stepsize.application.pointers import pointer
from stepsize.domain.trainer import TrainerCard
from stepsize.errors import CatalogueEntryNotFoundError, FieldError, InvalidRequestError
from stepsize.spec.base import Spec
from stepsize.spec.hints import hint, nearest
from stepsize.spec.job import JobSpec
from stepsize.spec.optimizers import Optimizer
from stepsize.spec.pruners import Pruner
from stepsize.spec.samplers import Sampler, Supports
from stepsize.spec.schedules import PreviewPoint, ScheduleBase, preview, schedule_types
from stepsize.store.database import Connection
from stepsize.store.workers import Worker, list_workers

SNAPSHOT = Path(stepsize.domain.__file__).with_name("trainer_cards.json")
"""The built-in trainers' cards, generated from workers/: requests are checked before any worker lives."""


@dataclass(frozen=True)
class TrainerEntry:
    """A trainer and the ids of the living workers that offer it."""

    card: TrainerCard
    workers: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpecEntry:
    """Something a job's spec may name: a sampler, pruner, schedule or optimiser."""

    name: str
    help: str
    params_schema: dict[str, Any]
    supports: Supports | None = None


class Catalogue:
    """Which trainers there are, by name and version."""

    def __init__(self, entries: Sequence[TrainerEntry]) -> None:
        newest_first = sorted(entries, key=lambda entry: _age(entry.card.version), reverse=True)
        self.trainers = sorted(newest_first, key=lambda entry: entry.card.name)
        """By name, the newest version of each first."""

    @property
    def _has_workers(self) -> bool:
        return any(entry.workers for entry in self.trainers)

    def find_trainer(self, name: str, version: str | None = None) -> TrainerCard:
        """Return a trainer's card; without a version the newest that a living worker offers, else the newest known.

        Raises:
            InvalidRequestError: no such trainer, or not in this version.
        """
        entries = [entry for entry in self.trainers if entry.card.name == name]
        cards = [entry.card for entry in entries]
        if not cards:
            names = {entry.card.name for entry in self.trainers}
            is_known = self._has_workers or nearest(name, names)
            alone = "" if is_known else "; no worker is alive yet, and a trainer of your own comes with one"
            raise _invalid("name", f"there is no trainer {name!r}; {hint(name, names)}{alone}")
        if version is None:
            return next((entry.card for entry in entries if entry.workers), cards[0])
        for card in cards:
            if card.version == version:
                return card
        versions = ", ".join(card.version for card in cards)
        raise _invalid("version", f"{name!r} is known in version {versions} only; leave the version out for the newest")

    def find_meant(self, name: str, version: str | None) -> tuple[TrainerCard, list[FieldError]]:
        """Return a trainer's card, or that of the one most likely meant and what is wrong with the name or version.

        What else is wrong with a request can then be said along with it.

        Raises:
            InvalidRequestError: no trainer is similar.
        """
        try:
            return self.find_trainer(name, version), []
        except InvalidRequestError as error:
            meant = nearest(name, {entry.card.name for entry in self.trainers})
            if meant is None:
                raise
            return self.find_trainer(meant), list(error.errors)


def load_catalogue(connection: Connection, *, lease_s: float) -> Catalogue:
    """Return the built-in trainers and those that living workers advertise."""
    return make_catalogue(built_in_cards(), list_workers(connection, lease_s=lease_s))


def make_catalogue(cards: Sequence[TrainerCard], workers: Sequence[Worker]) -> Catalogue:
    """Return the catalogue of these cards and of what these workers advertise, if alive."""
    known = {(card.name, card.version): card for card in cards}
    offered_by: dict[tuple[str, str], list[str]] = {key: [] for key in known}
    for worker in workers:
        for card in worker.trainers if worker.alive else ():
            known.setdefault((card.name, card.version), card)
            offered_by.setdefault((card.name, card.version), []).append(worker.id)
    return Catalogue([TrainerEntry(card, tuple(offered_by[key])) for key, card in known.items()])


@cache
def built_in_cards() -> tuple[TrainerCard, ...]:
    """Return the cards of the trainers that come with the service."""
    if not SNAPSHOT.exists():
        return ()
    return tuple(TypeAdapter(list[TrainerCard]).validate_json(SNAPSHOT.read_bytes()))


def card_of(connection: Connection, spec: JobSpec) -> TrainerCard | None:
    """Return the card of a job's trainer, for its units; None: nobody offers it, or it runs elsewhere."""
    if spec.trains_elsewhere:
        return None
    wanted = spec.trainer
    cards = [card for card in built_in_cards() if card.name == wanted.name]
    if not cards:
        workers = list_workers(connection, lease_s=0.0)
        cards = [card for worker in workers for card in worker.trainers if card.name == wanted.name]
    return next((card for card in cards if card.version == wanted.version), cards[0] if cards else None)


def can_run(worker: Worker, spec: JobSpec) -> bool:
    """Tell whether a worker lives, has the job's trainer in its version, and a slot large enough for a trial.

    Of an external job it runs the search alone, which any worker can.
    """
    if spec.trains_elsewhere:
        return worker.alive
    wanted, needs = spec.trainer, spec.resources
    return (
        worker.alive
        and any((card.name, card.version) == (wanted.name, wanted.version) for card in worker.trainers)
        and any(slot.gpus >= needs.gpus and slot.cpus >= needs.cpus for slot in worker.slots)
    )


@cache
def samplers() -> tuple[SpecEntry, ...]:
    """Return every sampler, in the order of the union."""
    return _entries(Sampler)


@cache
def pruners() -> tuple[SpecEntry, ...]:
    """Return every pruner."""
    return _entries(Pruner)


@cache
def optimizers() -> tuple[SpecEntry, ...]:
    """Return every optimiser."""
    return _entries(Optimizer)


@cache
def schedules() -> tuple[SpecEntry, ...]:
    """Return every schedule."""
    return tuple(_entry(model) for model in schedule_types().values())


def preview_schedule(name: str, params: dict[str, str], *, learning_rate: float, steps: int) -> list[PreviewPoint]:
    """Return the learning rate at each step under a schedule with these parameters (as they stand in a query).

    Raises:
        CatalogueEntryNotFoundError: no such schedule.
        InvalidRequestError: a parameter the schedule doesn't have, or a wrong value.
    """
    known = schedule_types()
    if name not in known:
        raise CatalogueEntryNotFoundError("schedule", name, list(known), hint(name, known))
    return preview(_make_schedule(known[name], params), learning_rate=learning_rate, steps=steps)


def _make_schedule(model: type[ScheduleBase], params: dict[str, str]) -> ScheduleBase:
    names = [name for name in model.model_fields if name != "name"]
    unknown = [
        FieldError(f"?{name}", f"there is no parameter {name!r}; {hint(name, [*names, 'learning_rate', 'steps'])}")
        for name in params
        if name not in names
    ]
    if unknown:
        raise InvalidRequestError(unknown)
    try:
        return model.model_validate({name: _as_json(text) for name, text in params.items()})
    except ValidationError as error:
        raise InvalidRequestError(
            [FieldError(f"?{'.'.join(map(str, wrong['loc']))}", wrong["msg"]) for wrong in error.errors()]
        ) from error


def _as_json(text: str) -> object:
    """Return what a query says as JSON would: 0.5 is a number there, and a word a text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _entries(union: Any) -> tuple[SpecEntry, ...]:
    members, _ = get_args(union)
    return tuple(_entry(model) for model in get_args(members))


def _entry(model: type[Spec]) -> SpecEntry:
    return SpecEntry(
        name=model.model_fields["name"].default,
        help=cleandoc(model.__doc__ or "").partition("\n\n")[0],
        params_schema=model.model_json_schema(),
        supports=getattr(model, "supports", None),
    )


def _age(version: str) -> list[tuple[bool, int, str]]:
    """Return what versions are sorted by, the newest last: 10 is later than 9, and 1.10 than 1.9."""
    parts = re.findall(r"\d+|[^\W\d_]+", version)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _invalid(field: str, message: str) -> InvalidRequestError:
    return InvalidRequestError([FieldError(pointer("trainer", field), message)])
