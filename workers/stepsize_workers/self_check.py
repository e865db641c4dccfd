"""What a worker started here would see: trainers, devices, torch. `stepsize doctor` asks, in a process of its own.

`python -m stepsize_workers.self_check` prints one JSON object.
"""

import json
import os
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from stepsize.settings import Settings
from stepsize_workers.engines.devices import detect_slots
from stepsize_workers.trainers.registry import built_in_cards, extra_cards


def self_check() -> dict[str, object]:
    """Return the trainers a worker would offer, why others are left out, its slots, and what torch says of GPUs."""
    cards, problems = extra_cards(Settings().trainer_modules)
    try:
        built_in = [card.name for card in built_in_cards()]
    except ImportError as error:
        built_in = []
        problems.append(f"the built-in trainers can't be imported: {error}")
    return {
        "trainers": [*built_in, *(card.name for card in cards)],
        "problems": problems,
        "devices": sorted({slot.device for slot in detect_slots(None)}),
        "torch": _version("torch"),
        "cuda": _cuda(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cuda() -> bool:
    try:
        return bool(import_module("torch").cuda.is_available())
    except ImportError:
        return False


if __name__ == "__main__":
    sys.path.append(os.getcwd())  # noqa: PTH109 - as a worker started here finds modules
    sys.stdout.write(json.dumps(self_check()))
