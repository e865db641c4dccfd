"""Finding trainers by name: built-in, installed (entry points `stepsize.trainers`), or in modules the worker names.

`python -m workers.trainers.registry --write` writes the built-in trainers' cards to the snapshot the service reads;
`--check` fails when the snapshot differs.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isabstract
from pathlib import Path
from types import ModuleType
from typing import cast

import service.domain
from service.domain.trainer import TrainerCard
from workers.trainers.base import Params, Trainer

# By path, not by class: `synthetic` must not import torch.
BUILT_IN = {
    "image_classifier": "workers.trainers.image_classifier:ImageClassifier",
    "synthetic": "workers.trainers.synthetic:Synthetic",
}
ENTRY_POINT_GROUP = "stepsize.trainers"
SNAPSHOT = Path(service.domain.__file__).with_name("trainer_cards.json")


class TrainerNotFoundError(LookupError):
    """No trainer has this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
        super().__init__(f"there is no trainer {name!r}; {hint}")
        self.name = name
        self.nearest = nearest[0] if nearest else None


class TrainerConflictError(ValueError):
    """Two trainers have the same name, or one has another name than it was announced under."""


@dataclass(frozen=True)
class _Source:
    """Where a trainer's class is found: `module:Class`."""

    path: str

    def load(self) -> type[Trainer[Params]]:
        module, _, attribute = self.path.partition(":")
        return cast(type[Trainer[Params]], getattr(import_module(module), attribute))


def trainer_names(extra_modules: Iterable[str] = ()) -> list[str]:
    """Return every trainer's name, sorted.

    Args:
        extra_modules: importable modules whose own `Trainer` classes are offered too.
    """
    return sorted(_sources(extra_modules))


def load_trainer(name: str, extra_modules: Iterable[str] = ()) -> type[Trainer[Params]]:
    """Return the trainer's class, importing it if need be.

    Args:
        extra_modules: as for `trainer_names`.

    Raises:
        TrainerNotFoundError: names the nearest known name.
        TrainerConflictError: an entry point or module offers a name that is taken, or a class with another name.
    """
    # Built-in names can't be taken by others, so that finding one needs no look at what is installed.
    sources = {name: _Source(BUILT_IN[name])} if name in BUILT_IN else _sources(extra_modules)
    if name not in sources:
        raise TrainerNotFoundError(name, sorted(sources))
    trainer = sources[name].load()
    if trainer.name != name:
        raise TrainerConflictError(f"{sources[name].path} is announced as {name!r} but calls itself {trainer.name!r}")
    return trainer


def built_in_cards() -> list[TrainerCard]:
    """Return the cards of the built-in trainers, sorted by name."""
    return [load_trainer(name).card() for name in sorted(BUILT_IN)]


def _sources(extra_modules: Iterable[str]) -> dict[str, _Source]:
    sources: dict[str, _Source] = {}
    for name, path in _offers(extra_modules):
        if name in sources and sources[name].path != path:
            raise TrainerConflictError(f"both {sources[name].path} and {path} are called {name!r}; rename one")
        sources[name] = _Source(path)
    return sources


def _offers(extra_modules: Iterable[str]) -> Iterator[tuple[str, str]]:
    yield from BUILT_IN.items()
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        yield entry_point.name, entry_point.value
    for module in extra_modules:
        for trainer in _defined_in(module):
            yield trainer.name, f"{module}:{trainer.__qualname__}"


def _defined_in(module: str) -> list[type[Trainer[Params]]]:
    """Return the trainers that a module defines itself; those it only imports belong to others."""
    members = vars(_import(module)).values()
    return [
        member
        for member in members
        if isinstance(member, type)
        and issubclass(member, Trainer)
        and member.__module__ == module
        and not isabstract(member)
    ]


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
    parser = argparse.ArgumentParser(prog="python -m workers.trainers.registry", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help=f"write {SNAPSHOT.name}")
    action.add_argument("--check", action="store_true", help=f"fail if {SNAPSHOT.name} differs")
    wants_write = parser.parse_args(arguments).write
    snapshot = _snapshot()
    if wants_write:
        SNAPSHOT.write_text(snapshot, encoding="utf-8")
    elif not SNAPSHOT.exists() or SNAPSHOT.read_text(encoding="utf-8") != snapshot:
        sys.stderr.write(f"{SNAPSHOT} differs from the trainers; run: python -m workers.trainers.registry --write\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
