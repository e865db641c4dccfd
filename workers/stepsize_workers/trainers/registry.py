"""Finding trainers by name: built-in, installed (entry points `stepsize.trainers`), or named by the worker.

A worker names modules and files that describe programs. What is broken is left out, with the reason, and takes nothing
else down.

`python -m stepsize_workers.trainers.registry --write` writes the built-in trainers' cards to the snapshot the service
reads; `--check` fails when the snapshot differs.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isabstract
from pathlib import Path
from types import ModuleType
from typing import cast

import stepsize.domain
from stepsize.domain.trainer import TrainerCard
from stepsize_workers.trainers.base import Params, Trainer
from stepsize_workers.trainers.command import SUFFIXES as COMMAND_SUFFIXES
from stepsize_workers.trainers.command import read_commands

# By path, not by class: `synthetic` must not import torch.
BUILT_IN = {
    "anomaly_detector": "stepsize_workers.trainers.anomaly_detector:AnomalyDetector",
    "board_game": "stepsize_workers.trainers.board_game:BoardGame",
    "image_classifier": "stepsize_workers.trainers.image_classifier:ImageClassifier",
    "language_model": "stepsize_workers.trainers.language_model:LanguageModel",
    "object_detector": "stepsize_workers.trainers.object_detector:ObjectDetector",
    "reinforcement_learner": "stepsize_workers.trainers.reinforcement_learner:ReinforcementLearner",
    "synthetic": "stepsize_workers.trainers.synthetic:Synthetic",
    "tabular_classifier": "stepsize_workers.trainers.tabular_classifier:TabularClassifier",
    "tabular_regressor": "stepsize_workers.trainers.tabular_regressor:TabularRegressor",
    "text_classifier": "stepsize_workers.trainers.text_classifier:TextClassifier",
}
ENTRY_POINT_GROUP = "stepsize.trainers"
SNAPSHOT = Path(stepsize.domain.__file__).with_name("trainer_cards.json")


class TrainerNotFoundError(LookupError):
    """No trainer has this name."""

    def __init__(self, name: str, known: Sequence[str], problems: Sequence[str] = ()) -> None:
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
        super().__init__("; ".join([f"there is no trainer {name!r}; {hint}", *problems]))
        self.name = name
        self.nearest = nearest[0] if nearest else None


class NoTrainerError(LookupError):
    """A file or a module defines no trainer."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} defines no trainer: decorate a function with @stepsize.trainer(…), or name what defines one"
        )


class TrainerConflictError(ValueError):
    """A trainer has another name than it was announced under."""


@dataclass(frozen=True)
class _Source:
    """Where a trainer's class is found: `module:Class`, or the file that describes a program."""

    name: str
    path: str

    def load(self) -> type[Trainer[Params]]:
        if self.path.endswith(COMMAND_SUFFIXES):
            return read_commands(Path(self.path))[self.name]
        module, _, attribute = self.path.partition(":")
        return cast(type[Trainer[Params]], getattr(_import(module), attribute))


@dataclass(frozen=True)
class _Found:
    """All trainers there are, and why others are left out."""

    sources: Mapping[str, _Source]
    problems: Sequence[str]


def trainer_names(extras: Iterable[str] = ()) -> list[str]:
    """Return every trainer's name, sorted.

    Args:
        extras: importable modules whose own `Trainer` classes are offered too, and paths of files of commands.
    """
    return sorted(_find(extras).sources)


def load_trainer(name: str, extras: Iterable[str] = ()) -> type[Trainer[Params]]:
    """Return the trainer's class, importing it if need be.

    Args:
        extras: as for `trainer_names`.

    Raises:
        TrainerNotFoundError: names the nearest known name, and what is broken.
        TrainerConflictError: an entry point announces a class with another name.
    """
    # Built-in names can't be taken by others, so that finding one needs no look at what is installed.
    found = _Found({name: _Source(name, BUILT_IN[name])}, ()) if name in BUILT_IN else _find(extras)
    if name not in found.sources:
        raise TrainerNotFoundError(name, sorted(found.sources), found.problems)
    source = found.sources[name]
    trainer = source.load()
    if trainer.name != name:
        raise TrainerConflictError(f"{source.path} is announced as {name!r} but calls itself {trainer.name!r}")
    return trainer


def built_in_cards() -> list[TrainerCard]:
    """Return the cards of the built-in trainers, sorted by name."""
    return [load_trainer(name).card() for name in sorted(BUILT_IN)]


def extra_cards(extras: Iterable[str] = ()) -> tuple[list[TrainerCard], list[str]]:
    """Return the cards of all trainers that are not built in, sorted by name, and why others are left out."""
    extras = list(extras)
    found = _find(extras)
    cards, problems = [], list(found.problems)
    for name in sorted(found.sources.keys() - BUILT_IN.keys()):
        try:
            cards.append(load_trainer(name, extras).card())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of others may fail in any way
            problems.append(f"trainer {name!r} can't be loaded: {_describe(error)}")
    return cards, problems


def _find(extras: Iterable[str]) -> _Found:
    sources = {name: _Source(name, path) for name, path in BUILT_IN.items()}
    problems: list[str] = []
    offers: list[Callable[[], list[_Source]]] = [_installed, *(partial(_named, extra) for extra in extras)]
    for offer in offers:
        try:
            offered = offer()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of others may fail in any way
            problems.append(_describe(error))
            continue
        for source in offered:
            taken = sources.setdefault(source.name, source)
            if taken != source:
                problems.append(f"{source.path} is left out: {taken.path} is called {source.name!r} too")
    return _Found(sources, problems)


def _installed() -> list[_Source]:
    return [_Source(point.name, point.value) for point in entry_points(group=ENTRY_POINT_GROUP)]


def _named(extra: str) -> list[_Source]:
    """Return what a module defines or a file describes."""
    if extra.endswith(COMMAND_SUFFIXES):
        return [_Source(name, extra) for name in read_commands(Path(extra))]
    try:
        found = [_Source(trainer.name, f"{extra}:{called}") for trainer, called in _defined_in(extra).items()]
    except (Exception, SystemExit) as error:
        raise ImportError(f"module {extra!r} can't be imported: {_describe(error)}") from error
    if not found:
        raise NoTrainerError(f"module {extra!r}")
    return found


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _defined_in(module: str) -> dict[type[Trainer[Params]], str]:
    """Return the trainers that a module defines itself; those it only imports belong to others."""
    return trainers_in(_import(module))


def trainers_in(module: ModuleType) -> dict[type[Trainer[Params]], str]:
    """Return the trainers that an imported module defines itself, and what it calls each.

    That need not be the name it was defined by: `tuned = trainer(…)(train)` leaves `train` a function.
    """
    found: dict[type[Trainer[Params]], str] = {}
    for called, member in vars(module).items():
        if (
            isinstance(member, type)
            and issubclass(member, Trainer)
            and member.__module__ == module.__name__
            and not isabstract(member)
        ):
            found.setdefault(member, called)
    return found


def _import(module: str) -> ModuleType:
    """Import a module the user names; one beside which the worker was started is found too, after everything else."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    return import_module(module)


def _snapshot() -> str:
    cards = [card.model_dump(mode="json") for card in built_in_cards()]
    return json.dumps(cards, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the snapshot; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stepsize_workers.trainers.registry", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help=f"write {SNAPSHOT.name}")
    action.add_argument("--check", action="store_true", help=f"fail if {SNAPSHOT.name} differs")
    wants_write = parser.parse_args(arguments).write
    snapshot = _snapshot()
    if wants_write:
        SNAPSHOT.write_text(snapshot, encoding="utf-8")
    elif not SNAPSHOT.exists() or SNAPSHOT.read_text(encoding="utf-8") != snapshot:
        sys.stderr.write(f"{SNAPSHOT} differs from the trainers; run: make cards\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
