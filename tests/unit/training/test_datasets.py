"""Data sets: one split for all trials, a cache that several processes share."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from stepsize.datasets.cards import SNAPSHOT, DatasetCard, DatasetKind, TargetKind
from stepsize_workers.training.datasets import DATASETS, LabelledData, load, with_label_noise
from stepsize_workers.training.datasets.arrays import Arrays, hash_content
from stepsize_workers.training.datasets.cache import cached
from stepsize_workers.training.datasets.labelled import split_indices
from stepsize_workers.training.datasets.snapshot import built_in_cards
from tests.unit.training.data import DATA_DIR


def arrays(seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    return Arrays(rng.integers(0, 255, (12, 1, 2, 2), dtype=np.uint8), np.arange(12) % 3, tuple("abc"), highest=255)


def load_any(name: str, *, split_seed: int = 0) -> LabelledData:
    target = TargetKind.CLASSES if DATASETS[name].n_classes else TargetKind.NUMBER
    return load(name, data_dir=DATA_DIR, split_seed=split_seed, target=target)


@pytest.mark.parametrize("name", list(DATASETS))
class TestEveryDataset:
    @pytest.fixture
    def data(self, name: str) -> LabelledData:
        return load_any(name)

    def test_is_as_its_row_says(self, name: str, data: LabelledData) -> None:
        row = DATASETS[name]
        assert data.shape == row.shape
        for part in (data.train, data.validation, data.test):
            assert part.inputs.dtype == torch.float32
            assert tuple(part.inputs.shape) == (len(part), *row.shape)
            if row.n_classes:
                assert set(part.labels.tolist()) == set(range(row.n_classes))
            else:
                assert part.labels.dtype == torch.float32

    def test_the_training_part_is_normalised(self, data: LabelledData) -> None:
        # float32 sums over up to 2.7 million pixels
        assert data.train.inputs.mean().item() == pytest.approx(0.0, abs=1e-4)
        assert data.train.inputs.std(correction=0).item() == pytest.approx(1.0, abs=1e-4)

    def test_pixels_go_from_0_to_1_before(self, data: LabelledData) -> None:
        if data.kind is not DatasetKind.IMAGE:
            pytest.skip("features have ranges of their own")
        pixels = data.train.inputs * data.std[0] + data.mean[0]
        assert (pixels.min().item(), pixels.max().item()) == pytest.approx((0.0, 1.0), abs=1e-6)

    def test_parts_share_the_images(self, data: LabelledData) -> None:
        n = len(data.train) + len(data.validation) + len(data.test)
        assert len(data.validation) == len(data.test) == round(0.15 * n)

    def test_another_split_seed_splits_otherwise(self, name: str, data: LabelledData) -> None:
        other = load_any(name, split_seed=1)
        assert other.content_hash == data.content_hash
        assert not torch.equal(other.validation.labels, data.validation.labels)


def test_a_split_covers_everything_once() -> None:
    parts = split_indices(101, content_hash="abc", split_seed=0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(101))


def test_a_split_depends_on_content_and_seed_alone() -> None:
    # Written down, so that no new version of anything may change it unnoticed: results would no longer compare.
    assert split_indices(10, content_hash="abc", split_seed=0)[0].tolist() == [1, 8, 4, 3, 2, 6]
    assert split_indices(10, content_hash="abc", split_seed=1)[0].tolist() != [1, 8, 4, 3, 2, 6]
    assert split_indices(10, content_hash="abd", split_seed=0)[0].tolist() != [1, 8, 4, 3, 2, 6]


def test_the_content_hash_sees_every_pixel_and_label() -> None:
    images, labels = arrays().inputs, arrays().labels
    original = hash_content(images, labels)
    assert hash_content(images.copy(), labels.copy()) == original
    brighter = images.copy()
    brighter[3, 0, 1, 1] ^= 1
    relabelled = labels.copy()
    relabelled[5] += 1
    assert len({original, hash_content(brighter, labels), hash_content(images, relabelled)}) == 3


def test_less_data_is_part_of_more_data() -> None:
    train = load("digits", data_dir=DATA_DIR).train
    half, tenth = train.first(0.5), train.first(0.1)
    assert (len(half), len(tenth)) == (round(0.5 * len(train)), round(0.1 * len(train)))
    assert torch.equal(tenth.inputs, half.inputs[: len(tenth)])
    assert len(train.first(1e-9)) == 1


def test_label_noise_replaces_the_asked_share_and_only_by_other_classes() -> None:
    labels = torch.arange(10_000) % 10

    def noisy(fraction: float) -> torch.Tensor:
        return with_label_noise(labels, fraction=fraction, n_classes=10, rng=torch.Generator().manual_seed(0))

    assert torch.equal(noisy(0.0), labels)
    assert (noisy(1.0) != labels).all()
    is_wrong = noisy(0.2) != labels
    assert is_wrong.float().mean().item() == pytest.approx(0.2, abs=0.02)  # five standard deviations
    assert torch.equal(noisy(0.5)[is_wrong], noisy(0.2)[is_wrong])
    assert noisy(0.5).max() == 9


def test_the_cache_fetches_once(tmp_path: Path) -> None:
    calls = 0

    def fetch() -> Arrays:
        nonlocal calls
        calls += 1
        return arrays()

    path = tmp_path / "new" / "some.npz"
    first, second = cached(path, fetch), cached(path, fetch)
    assert calls == 1
    np.testing.assert_array_equal(first.inputs, second.inputs)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (second.class_names, second.highest, second.features) == (("a", "b", "c"), 255, ())
    assert [file.name for file in path.parent.iterdir()] == ["some.npz"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        cached(tmp_path / "some.npz", arrays)
    assert list(tmp_path.iterdir()) == []


def test_several_may_fill_the_cache_at_once(tmp_path: Path) -> None:
    none_is_there_yet = Barrier(4)

    def fetch() -> Arrays:
        none_is_there_yet.wait(timeout=10)
        return arrays()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached(tmp_path / "some.npz", fetch), range(4)))
    assert all((one.inputs == arrays().inputs).all() for one in found)
    assert [file.name for file in tmp_path.iterdir()] == ["some.npz"]


def test_the_snapshot_is_up_to_date() -> None:
    cards = TypeAdapter(list[DatasetCard]).validate_json(SNAPSHOT.read_bytes())
    assert cards == built_in_cards(DATA_DIR)
