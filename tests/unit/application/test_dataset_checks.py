"""What is accepted of data sets is what trials can use, and nothing gets out of its folder."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stepsize.application.datasets import receive
from stepsize.datasets.cards import DatasetCard, DatasetFormat, Split, TargetKind, UnreadableDatasetError
from stepsize.datasets.uploads import NewDataset, incoming
from stepsize.errors import InvalidRequestError
from stepsize_workers.training.datasets import load
from tests.dataset_files import (
    WINE,
    N,
    birds,
    csv_bytes,
    images_npz,
    jpeg_bytes,
    npz_bytes,
    parquet_bytes,
    png_bytes,
    zip_bytes,
)


def receive_bytes(
    data_dir: Path,
    kind: str,
    body: bytes,
    *,
    target: str | None = None,
    target_kind: TargetKind | None = None,
    max_bytes: int = 1 << 30,
) -> DatasetCard:
    new = NewDataset("mine", DatasetFormat(kind), target, target_kind)
    with incoming(data_dir) as upload:
        upload.write_bytes(body)
        return receive(data_dir, new, upload, max_bytes=max_bytes)


def refusal(data_dir: Path, kind: str, body: bytes) -> str:
    """Return why a data set is refused."""
    with pytest.raises(InvalidRequestError) as caught:
        receive_bytes(data_dir, kind, body)
    (error,) = caught.value.errors
    return error.message


@pytest.mark.parametrize(
    ("kind", "body", "target", "expected"),
    [
        ("npz", images_npz(), None, {"kind": "image", "shape": [1, 6, 5], "n_classes": 2}),
        ("npz", npz_bytes(x=np.ones((N, 7)), y=np.array(list("ab") * 10)), None, {"kind": "tabular", "shape": [7]}),
        ("npz", npz_bytes(images=np.zeros((N, 2, 4, 3), np.uint8), labels=np.arange(N)), None, {"shape": [3, 2, 4]}),
        ("csv", csv_bytes(WINE), "quality", {"shape": [3], "n_classes": 2}),
        ("csv", csv_bytes(WINE), None, {"shape": [3], "n_classes": 2}),
        ("images", zip_bytes(birds()), None, {"kind": "image", "shape": [1, 3, 4], "n_classes": 2}),
        ("images", zip_bytes({f"all/{k}": v for k, v in birds().items()}), None, {"shape": [1, 3, 4]}),
        ("images", zip_bytes({k.replace(".png", ".jpg"): jpeg_bytes() for k in birds()}), None, {"shape": [1, 3, 4]}),
        ("images", zip_bytes(birds() | {"wren/1.png": png_bytes(mode="RGB")}), None, {"shape": [3, 3, 4]}),
    ],
)
def test_what_the_service_says_of_an_upload_is_what_a_worker_reads(
    tmp_path: Path, kind: str, body: bytes, target: str | None, expected: dict[str, Any]
) -> None:
    card = receive_bytes(tmp_path, kind, body, target=target)
    assert card.model_dump(include=set(expected)) == expected
    assert (card.n, card.problem, card.target) == (N, None, target)
    data = load("mine", data_dir=tmp_path)
    assert (data.kind, list(data.shape), data.n_classes) == (card.kind, card.shape, card.n_classes)
    assert data.content_hash == card.content_hash
    assert Split(train=len(data.train), validation=len(data.validation), test=len(data.test)) == card.split


def npy_bytes(header: str, values: bytes = b"") -> bytes:
    """Return an array's file as numpy would not write it."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + values


def npz_of(header: str, values: bytes = b"") -> bytes:
    labels = npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (20,)}", bytes(range(N)))
    return zip_bytes({"x.npy": npy_bytes(header, values), "y.npy": labels})


def header(shape: str, dtype: str = "'<f4'") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}"


def labelled_by(dtype: str, values: bytes) -> bytes:
    """Return arrays whose labels are of some type."""
    labels = npy_bytes(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (20,)}}", values)
    return zip_bytes({"x.npy": npy_bytes(header("(20, 2)"), bytes(160)), "y.npy": labels})


def locked(body: bytes) -> bytes:
    """Return an archive that says of its first member that it is encrypted."""
    changed = bytearray(body)
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[body.index(signature) + place] |= 1
    return bytes(changed)


def spoiled(body: bytes, *, after: bytes) -> bytes:
    """Return an archive whose compressed member is broken."""
    start = body.index(after) + len(after) + 24
    return body[:start] + b"\xff" * 8 + body[start + 8 :]


def table(line: str) -> bytes:
    """Return a table with a line among good ones."""
    return b"a,b,target\n" + b"1,2,x\n2,3,y\n" * 10 + line.encode() + b"\n"


def with_hole(dtype: str) -> NDArray[Any]:
    values = np.ones((N, 3000), dtype)
    values[7, 5] = np.nan
    return values


class Evil:
    """Unpickled, it would run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return __import__("os").system, ("touch /tmp/stepsize-was-here",)


def numbers_with(value: str) -> bytes:
    """Return a table of many different numbers, and something else among them."""
    lines = [f"{number / 8},{'xy'[number % 2]}" for number in range(60)]
    return "\n".join(["a,target", *lines, f"{value},x", ""]).encode()


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("csv", numbers_with("1O"), "line 62 has a '1O', and most of a is numbers; mend it or drop the line"),
        ("csv", numbers_with("?"), "line 62 has a '?'"),
        ("csv", numbers_with("3\0"), "line 62 has a"),
        ("csv", b"a;target\n" + b"1;x\n2;y\n" * 10, "separate them by commas, not ;"),
        ("csv", b"a\ttarget\n" + b"1\tx\n2\ty\n" * 10, "separate them by commas, not tabs"),
        ("csv", b",a,target\n" + b"1,1,x\n2,2,y\n" * 10, "column 1 has no name"),
        ("npz", b"", "it is no .npz file, or one that was cut off; save it by np.savez"),
        ("npz", npz_bytes(x=np.ones((N, 2)), y=np.arange(N))[:-30], "it is no .npz file, or one that was cut off"),
        ("npz", npy_bytes(header("(20, 2)"), bytes(160)), "it is a single array, not an .npz file of two"),
        ("npz", locked(npz_bytes(x=np.ones((N, 2)), y=np.arange(N))), "it is encrypted"),
        ("npz", npz_bytes(x=np.ones((N, 2))), "no array 'y'"),
        ("npz", npz_bytes(x=np.ones((N, 2)), y=np.arange(N - 1)), "one label a sample"),
        ("npz", npz_bytes(x=np.ones((N, 2)), y=np.array([Evil()] * N, dtype=object)), "Python objects"),
        ("npz", npz_bytes(x=np.ones((N, 2)), y=np.zeros(N)), "the same target"),
        ("npz", npz_bytes(x=np.ones((5, 2)), y=np.arange(5)), "5 samples"),
        ("npz", npz_bytes(x=np.ones((N, 4, 4, 7)), y=np.arange(N)), "1 or 3 channels"),
        ("npz", npz_bytes(x=np.ones((N, 0)), y=np.arange(N)), "nothing in it"),
        ("npz", npz_bytes(x=np.full((N, 2), "a"), y=np.arange(N)), "x holds text"),
        ("npz", npz_bytes(x=with_hole("<f4"), y=np.arange(N)), "x has missing or infinite values"),
        ("npz", npz_bytes(x=with_hole(">f8"), y=np.arange(N)), "x has missing or infinite values"),
        ("npz", npz_bytes(x=np.ones((N, 2)), y=np.where(np.arange(N) == 3, np.inf, 1.0)), "y has missing or infinite"),
        ("npz", npz_bytes(x=np.ones((1500, 1)), y=np.arange(1500).astype(str)), "more than 1000 classes"),
        ("npz", npz_of(header("(20, 'a')")), "not as numpy writes it"),
        ("npz", npz_of(header("(20, -4)")), "not as numpy writes it"),
        ("npz", npz_of("[1, 2]"), "not as numpy writes it"),
        ("npz", npz_of("{'shape': (20, 4)}"), "not as numpy writes it"),
        ("npz", npz_of(header("(20, 2)", "[('a', '<f4')]")), "holds records"),
        ("npz", npz_of("-" * 9000 + "1"), "not as numpy writes it"),
        ("npz", npz_of("{'descr': '<f4'"), "the header of x.npy is not as numpy writes it; save it by np.savez"),
        ("npz", npz_of("__import__('os').system('true')"), "the header of x.npy is not as numpy writes it"),
        ("npz", npz_of("{'descr': '<f4', 'shape': (20, 2)}", bytes(160)), "not as numpy writes it"),
        ("npz", npz_of(header("(20, True)"), bytes(160)), "not as numpy writes it"),
        ("npz", npz_of(header("(20, 2)", "'?f4'"), bytes(160)), "not as numpy writes it"),
        ("npz", npz_of(header("(20, 2)", "'<f3'"), bytes(160)), "neither numbers nor text but '<f3'"),
        ("npz", zip_bytes({"x.npy": b"\x93NUMPY\x09\x00\x02\x00{}", "y.npy": b""}), "x.npy is not as numpy writes it"),
        ("npz", zip_bytes({"x.npy": b"\x80\x04K\x01.", "y.npy": b""}), "x.npy is not an array of numpy's"),
        ("npz", labelled_by("<U1", b"\xff\xff\xff\x7f" * 20), "characters that there are not"),
        ("npz", labelled_by("|S999999999", bytes(20)), "y.npy holds endless text"),
        ("npz", npz_of("-" * 20_000 + "1"), "absurdly long"),
        ("npz", npz_of(header("(20, 2000000)"), bytes(1000)), "fewer values than its header says"),
        ("npz", spoiled(npz_bytes(x=np.ones((N, 900)), y=np.arange(N)), after=b"x.npy"), "a part of it is damaged"),
        ("csv", b"", "name the columns"),
        ("csv", b"a,b\n" + b"1,2\n" * 30 + b"1\n", "line 32 has 1 values"),
        ("csv", b"a,target\n" + b"1,x\n2,y\n" * 9 + b",x\n", "line 20 has no a"),
        ("csv", b"\xff\xfe\x00", "can't be read"),
        ("csv", table("1,2,"), "line 22 has no target"),
        ("csv", table("nan,2,x"), "line 22 has a nan"),
        ("csv", b"a,a,target\n" + b"1,2,x\n2,3,y\n" * 10, "2 columns are called 'a'"),
        ("csv", b"a;target\n" + b"1;x\n2;y\n" * 10, "by commas"),
        ("csv", b"a,b\n" + b"".join(b"%d,%d\n" % (i, i % 2) for i in range(70)) + b"NA,1\n", "'NA' is no number"),
        ("csv", b"a,b\n" + b"".join(b"%d,n%d\n" % (i, i) for i in range(1500)), "more than 1000 classes"),
        ("parquet", b"", "not a Parquet file"),
        ("parquet", parquet_bytes()[:-20], "cut off"),
        ("parquet", b"PAR1" + bytes(8) + b"PAR1", "without its footer"),
        ("parquet", b"PAR0....PAR1", "not a Parquet file"),
        ("images", b"PK", "can't be unpacked"),
        ("images", zip_bytes({}), "no images"),
        ("images", zip_bytes({**birds(), "robin/x.png": b"<svg/>"}), "neither a PNG nor a JPEG"),
        ("images", zip_bytes({"../robin/x.png": png_bytes()}), "not a plain path"),
        ("images", zip_bytes({"/etc/x.png": png_bytes()}), "not a plain path"),
        ("images", zip_bytes({"robin\\..\\x.png": png_bytes()}), "not a plain path"),
        ("images", zip_bytes({"robin/x.py": b"import os"}), "not <class>/<image>"),
        ("images", zip_bytes({"x.png": png_bytes()}), "not <class>/<image>"),
        ("images", zip_bytes({**birds(), "robin/x.png": png_bytes(size=(5, 5))}), "robin/x.png has 5×5 pixels"),
        ("images", zip_bytes({**birds(), "robin/x.png": png_bytes(size=(4, 3))[:-20]}), "robin/x.png is broken or cut"),
        ("images", zip_bytes({**birds(), "robin/x.png": png_bytes(size=(4, 3))[:30]}), "robin/x.png is broken or cut"),
        ("images", zip_bytes({**birds(), "robin/x.jpg": jpeg_bytes()[:-40]}), "robin/x.jpg is broken or cut"),
        ("images", zip_bytes({**birds(), "robin/x.jpg": jpeg_bytes()[:60]}), "robin/x.jpg is broken or cut"),
        ("images", zip_bytes({**birds(), "robin/x.jpg": jpeg_bytes(size=(9, 9))}), "robin/x.jpg has 9×9 pixels"),
        ("images", spoiled(zip_bytes(birds()), after=b"robin/0.png"), "can't be unpacked"),
    ],
)
def test_what_trials_could_not_use_is_refused_with_the_reason(
    tmp_path: Path, kind: str, body: bytes, words: str
) -> None:
    assert words in refusal(tmp_path, kind, body)
    assert list((tmp_path / "datasets").iterdir()) == []


def test_an_image_that_is_in_an_archive_twice_is_named(tmp_path: Path) -> None:
    twice = zip_bytes({"robin/1.png": png_bytes(), "robin/2.png": png_bytes(1)}).replace(b"2.png", b"1.png")
    assert refusal(tmp_path, "images", twice) == "robin/1.png is in it twice"


def test_empty_lines_of_a_table_are_left_out(tmp_path: Path) -> None:
    assert receive_bytes(tmp_path, "csv", table("\n1,2,x\n\n")).n == N + 1
    data = load("mine", data_dir=tmp_path)
    assert len(data.train) + len(data.validation) + len(data.test) == N + 1


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo("robin/x.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert "not a plain path" in refusal(tmp_path, "images", file.getvalue())


def prices(n: int, price: Callable[[int], object]) -> bytes:
    return csv_bytes([["area", "price"], *([index, price(index)] for index in range(n))])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("csv", prices(300, lambda index: 100.5 + 1.25 * index)),
        ("csv", prices(300, lambda index: 0.5 * (index % 3))),
        ("csv", prices(300, lambda index: 1000 * index)),
        ("csv", prices(1500, lambda index: index)),
        ("npz", npz_bytes(x=np.ones((300, 2)), y=np.linspace(0.0, 1.0, 300))),
        ("npz", npz_bytes(x=np.ones((300, 2)), y=np.linspace(0.0, 1.0, 300).astype(">f4"))),
        ("npz", npz_bytes(x=np.ones((300, 2)), y=np.arange(300))),
    ],
)
def test_a_target_of_numbers_is_not_taken_as_classes(tmp_path: Path, kind: str, body: bytes) -> None:
    card = receive_bytes(tmp_path, kind, body)
    assert (card.target_kind, card.n_classes, card.problem) == (TargetKind.NUMBER, None, None)
    data = load("mine", data_dir=tmp_path, target=TargetKind.NUMBER)
    assert (data.target_kind, data.class_names, data.train.labels.dtype) == (TargetKind.NUMBER, (), torch.float32)
    assert data.content_hash == card.content_hash
    with pytest.raises(UnreadableDatasetError, match="its target is a number"):
        load("mine", data_dir=tmp_path)


def test_a_number_is_read_as_it_stands(tmp_path: Path) -> None:
    receive_bytes(tmp_path, "csv", prices(300, lambda index: index / 4))
    data = load("mine", data_dir=tmp_path, target=TargetKind.NUMBER)
    every = torch.cat([part.labels for part in (data.train, data.validation, data.test)])
    assert sorted(every.tolist()) == [index / 4 for index in range(300)]


@pytest.mark.parametrize(
    ("kind", "body", "n_classes"),
    [
        ("csv", prices(300, lambda index: index % 7), 7),
        ("csv", prices(300, lambda index: float(index % 7)), 7),
        ("csv", prices(300, lambda index: f"n{index // 2}"), 150),
        ("npz", npz_bytes(x=np.ones((2000, 2)), y=np.arange(2000) % 150), 150),
        ("npz", npz_bytes(x=np.ones((300, 2)), y=np.arange(300) % 3 == 0), 2),
    ],
)
def test_few_whole_numbers_and_texts_are_classes(tmp_path: Path, kind: str, body: bytes, n_classes: int) -> None:
    card = receive_bytes(tmp_path, kind, body)
    assert (card.target_kind, card.n_classes) == (TargetKind.CLASSES, n_classes)
    assert load("mine", data_dir=tmp_path).n_classes == n_classes


def test_what_a_target_is_can_be_said(tmp_path: Path) -> None:
    card = receive_bytes(tmp_path, "csv", prices(300, lambda index: index % 7), target_kind=TargetKind.NUMBER)
    assert (card.target_kind, card.n_classes) == (TargetKind.NUMBER, None)
    assert load("mine", data_dir=tmp_path, target=TargetKind.NUMBER).train.labels.dtype == torch.float32
    other = tmp_path / "other"
    card = receive_bytes(other, "csv", prices(300, lambda index: index), target_kind=TargetKind.CLASSES)
    assert (card.target_kind, card.n_classes) == (TargetKind.CLASSES, 300)
    with pytest.raises(InvalidRequestError) as caught:
        receive_bytes(tmp_path / "third", "csv", csv_bytes(WINE), target="colour", target_kind=TargetKind.NUMBER)
    assert "said to be a number" in caught.value.errors[0].message


def test_images_that_decode_to_more_than_is_accepted_are_refused(tmp_path: Path) -> None:
    large = png_bytes(size=(4096, 4096))
    archive = zip_bytes({f"{'ab'[index % 2]}/{index}.png": large for index in range(16)})
    assert len(archive) < 1 << 20
    with pytest.raises(InvalidRequestError) as caught:
        receive_bytes(tmp_path, "images", archive, max_bytes=50 << 20)
    assert "16 images of 4096×4096 pixels take 268435456 bytes when decoded" in caught.value.errors[0].message


def test_a_jpeg_with_a_thumbnail_and_something_behind_it_is_whole(tmp_path: Path) -> None:
    thumbnail = jpeg_bytes(size=(2, 2))
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    picture = jpeg_bytes()
    whole = picture[:2] + segment + picture[2:] + b"more"
    members = {f"{'ab'[index % 2]}/{index}.jpg": whole for index in range(N)}
    assert receive_bytes(tmp_path, "images", zip_bytes(members)).shape == [1, 3, 4]
    cut = {"a/x.jpg": whole[: -len(b"more") - 30]}
    assert "a/x.jpg is broken or cut off" in refusal(tmp_path / "cut", "images", zip_bytes(members | cut))
