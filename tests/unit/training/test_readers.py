"""Users' data sets as workers read them: what is wrong is said, with the file's name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stepsize.datasets.cards import DatasetKind, UnknownDatasetError, UnreadableDatasetError
from stepsize_workers.training.datasets import LabelledData, load

N = 20


def place(data_dir: Path, name: str, content: bytes | str) -> None:
    path = data_dir / "datasets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def place_npz(data_dir: Path, **arrays: object) -> None:
    (data_dir / "datasets").mkdir(parents=True, exist_ok=True)
    np.savez(data_dir / "datasets" / "mine.npz", **arrays)  # type: ignore[arg-type]


def place_image(data_dir: Path, name: str, size: tuple[int, int] = (4, 3), mode: str = "L") -> None:
    path = data_dir / "datasets" / "mine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)


def whole(data: LabelledData) -> torch.Tensor:
    """Return all inputs as they were before normalisation, in a fixed order."""
    inputs = torch.cat([data.train.inputs, data.validation.inputs, data.test.inputs])
    shape = (1, -1, *[1] * (len(data.shape) - 1))
    raw = inputs * torch.tensor(data.std).view(shape) + torch.tensor(data.mean).view(shape)
    return raw[raw.flatten(1).sum(1).argsort()]


def test_columns_of_text_become_columns_of_zeros_and_ones(tmp_path: Path) -> None:
    lines = [f"{index},{('red', 'blue')[index % 2]},{('no', 'yes')[index // 10]}" for index in range(N)]
    place(tmp_path, "mine.csv", "\n".join(["size,colour,sold", *lines]))
    data = load("mine", data_dir=tmp_path)
    assert (data.features, data.class_names) == (("size", "colour=blue", "colour=red"), ("no", "yes"))
    expected = [[index, index % 2, 1 - index % 2] for index in range(N)]
    torch.testing.assert_close(whole(data), torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-5)


def test_a_parquet_table_is_read_as_its_csv_would_be(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"size": [index / 2 for index in range(N)], "colour": ["red", "blue"] * 10, "sold": [False, True] * 10}
    (tmp_path / "datasets").mkdir()
    parquet.write_table(pyarrow.table(columns), tmp_path / "datasets" / "mine.parquet")
    lines = [f"{size},{colour},{sold}" for size, colour, sold in zip(*columns.values(), strict=True)]
    place(tmp_path, "other.csv", "\n".join(["size,colour,sold", *lines]))
    table, text = load("mine", data_dir=tmp_path), load("other", data_dir=tmp_path)
    assert (table.features, table.class_names) == (text.features, text.class_names)
    torch.testing.assert_close(whole(table), whole(text), rtol=0, atol=1e-5)


def test_channels_may_stand_first_or_last(tmp_path: Path) -> None:
    pixels = np.arange(N * 3 * 5 * 4, dtype=np.float32).reshape(N, 3, 5, 4)
    place_npz(tmp_path / "first", x=pixels, y=np.arange(N) % 2)
    place_npz(tmp_path / "last", x=pixels.transpose(0, 2, 3, 1), y=np.arange(N) % 2)
    first, last = (whole(load("mine", data_dir=tmp_path / name)) for name in ("first", "last"))
    # The two files differ, and so do their splits and constants: float32 of numbers up to 1200.
    torch.testing.assert_close(first, torch.from_numpy(pixels), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(last, first, rtol=1e-5, atol=1e-3)


def test_a_feature_that_never_changes_stays_0(tmp_path: Path) -> None:
    inputs = np.stack([np.full(N, 7.0), np.arange(N)], axis=1)
    place_npz(tmp_path, x=inputs, y=np.arange(N) % 2)
    assert load("mine", data_dir=tmp_path).train.inputs[:, 0].abs().max() == 0


def test_normalisation_knows_the_training_part_only(tmp_path: Path) -> None:
    place_npz(tmp_path, x=np.random.default_rng(0).normal(size=(50, 3)), y=np.arange(50) % 2)
    data = load("mine", data_dir=tmp_path)
    torch.testing.assert_close(data.train.inputs.mean(0), torch.zeros(3), rtol=0, atol=1e-6)
    assert data.validation.inputs.mean(0).abs().max() > 1e-3


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    for n in (20, 40):
        place_npz(tmp_path, x=np.ones((n, 2)) * n, y=np.arange(n) % 2)
        data = load("mine", data_dir=tmp_path)
        assert len(data.train) + len(data.validation) + len(data.test) == n


def test_a_label_that_is_missing_is_no_class(tmp_path: Path) -> None:
    place_npz(tmp_path, x=np.ones((N, 2)), y=np.where(np.arange(N) == 3, np.nan, 1.0))
    with pytest.raises(UnreadableDatasetError, match="y has missing"):
        load("mine", data_dir=tmp_path)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    place_npz(tmp_path, x=np.ones((N, 2)), y=np.array([{}] * N, dtype=object))
    with pytest.raises(UnreadableDatasetError, match="Python objects are never unpickled"):
        load("mine", data_dir=tmp_path)


def test_images_of_different_sizes_are_named(tmp_path: Path) -> None:
    for index in range(N):
        place_image(tmp_path, f"{'ab'[index % 2]}/{index:02}.png", size=(4, 3) if index < N - 1 else (5, 3))
    with pytest.raises(UnreadableDatasetError, match=r"b/19.png has 5×3 pixels, others 4×3"):
        load("mine", data_dir=tmp_path)


def test_jpegs_are_images_too(tmp_path: Path) -> None:
    for index in range(N):
        place_image(tmp_path, f"{'ab'[index % 2]}/{index}.jpg", mode="RGB")
    assert load("mine", data_dir=tmp_path).shape == (3, 3, 4)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("mine.csv", "a,target\n1,x\n,y\n", "line 3 has no a"),
        ("mine.csv", "a,target\n1,x\n1,\n", "line 3 has no target"),
        ("mine.csv", "a,target\n\n-inf,x\n", "line 3 has a -inf"),
        ("mine.csv", "a,b\n1\n", "line 2 has 1 values"),
        ("mine.csv", "target\n" + "x\ny\n" * 10, "no column beside the target"),
        ("mine.csv", "a,target\n" + "".join(f"t{index},{index % 2}\n" for index in range(70)), "70 different texts"),
        ("mine.csv", "a,b\n" + "".join(f"{index},{index}\n" for index in range(1500)), "its target is a number"),
        ("mine.npz", b"PK\x03\x04", "no .npz file"),
        ("mine/a/1.png", b"\x89PNG but not really", "is not an image"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: bytes | str, words: str) -> None:
    place(tmp_path, name, content)
    with pytest.raises(UnreadableDatasetError, match=words) as caught:
        load("mine", data_dir=tmp_path)
    assert "'mine'" in str(caught.value)


def test_data_of_another_kind_is_refused(tmp_path: Path) -> None:
    place_npz(tmp_path, x=np.ones((N, 2)), y=np.arange(N) % 2)
    with pytest.raises(UnreadableDatasetError, match="is tabular, but image data is needed"):
        load("mine", data_dir=tmp_path, kind=DatasetKind.IMAGE)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    place_npz(tmp_path, x=np.ones((N, 2)), y=np.arange(N) % 2)
    place(tmp_path, "mine.csv", "a,b\n")
    with pytest.raises(UnreadableDatasetError, match="both called 'mine'"):
        load("mine", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["nothing", "../secret", "/etc/passwd", ""])
def test_an_unknown_name_is_answered_with_what_there_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownDatasetError, match="known: digits"):
        load(name, data_dir=tmp_path)
