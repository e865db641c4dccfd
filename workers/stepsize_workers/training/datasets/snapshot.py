"""The service's catalogue of built-in data sets, generated from the registry: the API lists them without numpy.

`python -m stepsize_workers.training.datasets.snapshot --write` writes it; `--check` fails when it differs.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stepsize.datasets.cards import SNAPSHOT, DatasetCard, DatasetFormat, Split, TargetKind, split_sizes
from stepsize_workers.training.datasets.labelled import load
from stepsize_workers.training.datasets.registry import DATASETS
from stepsize_workers.training.datasets.texts import TEXTS, load_texts


def built_in_cards(data_dir: Path) -> list[DatasetCard]:
    """Return the cards of the built-in data sets, sorted by name.

    Args:
        data_dir: where parsed data is cached.
    """
    cards = [*(_card(name, data_dir) for name in DATASETS), *map(_card_of_texts, TEXTS)]
    return sorted(cards, key=lambda card: card.name)


def _card_of_texts(name: str) -> DatasetCard:
    """Return the card of texts; how many samples of characters there are depends on their length: counted one by one.

    The split's sizes are those of the first split seed: whole plays are held out, and some are longer than others.
    """
    row = TEXTS[name]
    data = load_texts(name, kind=row.kind, n_tokens=1)
    split = Split(train=len(data.train), validation=len(data.validation), test=len(data.test))
    return DatasetCard(
        name=name,
        help=row.help,
        format=DatasetFormat.BUILT_IN,
        kind=data.kind,
        n=split.train + split.validation + split.test,
        n_classes=data.n_classes or None,
        target_kind=data.target_kind,
        content_hash=data.content_hash,
        split=split,
    )


def _card(name: str, data_dir: Path) -> DatasetCard:
    row = DATASETS[name]
    data = load(name, data_dir=data_dir, target=TargetKind.CLASSES if row.n_classes else TargetKind.NUMBER)
    n = len(data.train) + len(data.validation) + len(data.test)
    return DatasetCard(
        name=name,
        help=row.help,
        format=DatasetFormat.BUILT_IN,
        kind=data.kind,
        n=n,
        shape=list(data.shape),
        n_classes=data.n_classes or None,
        target_kind=data.target_kind,
        content_hash=data.content_hash,
        split=split_sizes(n),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the snapshot; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m stepsize_workers.training.datasets.snapshot", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the data sets' cards")
    action.add_argument("--check", action="store_true", help="fail if they differ")
    wants_write = parser.parse_args(arguments).write
    with tempfile.TemporaryDirectory() as directory:
        cards = [card.model_dump(mode="json") for card in built_in_cards(Path(directory))]
    text = json.dumps(cards, indent=2, ensure_ascii=False) + "\n"
    if wants_write:
        SNAPSHOT.write_text(text, encoding="utf-8")
    elif not SNAPSHOT.exists() or SNAPSHOT.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{SNAPSHOT} differs from the data sets; run: make cards\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
