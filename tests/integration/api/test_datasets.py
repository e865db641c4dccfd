"""Data sets over HTTP; what is accepted of files is in tests/unit/application/test_dataset_checks.py."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from stepsize.datasets.cards import DatasetKind, built_in_cards
from stepsize.settings import Settings
from stepsize_workers.training.datasets import load
from tests.dataset_files import WINE, N, csv_bytes, images_npz, npz_bytes, png_bytes, zip_bytes


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Data sets are files: one database is enough."""
    return sqlite_url


def upload(client: TestClient, name: str, kind: str, body: bytes, **query: str) -> Any:
    return client.post("/v1/datasets", params={"name": name, "format": kind, **query}, content=body)


def place(settings: Settings, name: str, body: bytes) -> Path:
    path = settings.data_dir / "datasets" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def test_built_in_data_sets_are_listed_with_their_facts(client: TestClient) -> None:
    items = client.get("/v1/datasets").json()["items"]
    digits = next(item for item in items if item["name"] == "digits")
    assert {name: digits[name] for name in ("kind", "format", "n", "shape", "n_classes", "split")} == {
        "kind": "image",
        "format": "built_in",
        "n": 1797,
        "shape": [1, 8, 8],
        "n_classes": 10,
        "split": {"train": 1257, "validation": 270, "test": 270},
    }
    assert client.get("/v1/datasets/digits").json() == digits


def test_an_upload_is_described_as_a_worker_reads_it(client: TestClient, settings: Settings) -> None:
    response = upload(client, "mine", "csv", csv_bytes(WINE), target="quality", help="Red or white?")
    assert response.status_code == 201, response.text
    card = response.json()
    assert {name: card[name] for name in ("n", "shape", "target", "help", "problem")} == {
        "n": N,
        "shape": [3],
        "target": "quality",
        "help": "Red or white?",
        "problem": None,
    }
    assert client.get(response.headers["location"]).json() == card
    assert load("mine", data_dir=settings.data_dir).content_hash == card["content_hash"]


def test_a_file_placed_in_the_data_directory_is_a_data_set(client: TestClient, settings: Settings) -> None:
    place(settings, "flowers.npz", images_npz())
    place(settings, "Not A Name.npz", images_npz())
    place(settings, "notes.txt", b"")
    names = [item["name"] for item in client.get("/v1/datasets").json()["items"]]
    assert names[len(built_in_cards()) :] == ["flowers"]


def test_a_placed_file_that_changes_gets_another_hash(client: TestClient, settings: Settings) -> None:
    place(settings, "flowers.npz", images_npz())
    first = client.get("/v1/datasets/flowers").json()
    place(settings, "flowers.npz", images_npz(n=30))
    second = client.get("/v1/datasets/flowers").json()
    assert (first["n"], second["n"]) == (20, 30)
    assert first["content_hash"] != second["content_hash"]


def test_another_target_is_other_content(client: TestClient) -> None:
    first = upload(client, "one", "csv", csv_bytes(WINE), target="quality").json()
    second = upload(client, "two", "csv", csv_bytes(WINE), target="colour").json()
    assert first["content_hash"] != second["content_hash"]


def test_what_is_wrong_with_a_placed_file_is_told_in_the_list(client: TestClient, settings: Settings) -> None:
    place(settings, "broken.npz", b"not a zip")
    assert "no .npz file" in client.get("/v1/datasets/broken").json()["problem"]


@pytest.mark.parametrize("options", [b"{", b'{"target": 5}', b'{"traget": "quality"}', b"[]"])
def test_a_wrong_file_of_options_is_a_problem_of_its_data_set_alone(
    client: TestClient, settings: Settings, options: bytes
) -> None:
    place(settings, "wine.csv", csv_bytes(WINE))
    place(settings, "wine.json", options)
    place(settings, "flowers.npz", images_npz())
    flowers, wine = client.get("/v1/datasets").json()["items"][len(built_in_cards()) :]
    assert (flowers["problem"], wine["content_hash"]) == (None, None)
    assert "wine.json must hold an object" in wine["problem"]
    assert client.get("/v1/datasets/wine").json() == wine
    assert "wine.json" in upload(client, "wine", "csv", csv_bytes(WINE)).text


def test_files_of_one_name_say_so_and_are_not_for_jobs(client: TestClient, settings: Settings) -> None:
    place(settings, "mine.npz", images_npz())
    place(settings, "mine.csv", csv_bytes(WINE))
    place(settings, "digits.npz", images_npz())
    problems = [item["problem"] for item in client.get("/v1/datasets").json()["items"][len(built_in_cards()) :]]
    assert problems[0].startswith("a built-in data set has this name")
    assert problems[1:] == ["mine.csv and mine.npz have the same name; rename one"] * 2
    assert client.get("/v1/datasets/mine").json()["problem"] == problems[1]
    assert upload(client, "mine", "npz", images_npz()).status_code == 409
    assert client.delete("/v1/datasets/mine").status_code == 409


def test_the_same_upload_again_changes_nothing(client: TestClient) -> None:
    first = upload(client, "mine", "npz", images_npz())
    again = upload(client, "mine", "npz", images_npz())
    assert (again.status_code, again.json()) == (201, first.json())


def test_other_content_under_a_name_that_is_taken_is_refused(client: TestClient) -> None:
    first = upload(client, "mine", "npz", images_npz()).json()
    assert upload(client, "mine", "npz", images_npz(n=30)).status_code == 409
    assert upload(client, "mine", "csv", csv_bytes(WINE)).status_code == 409
    assert upload(client, "digits", "npz", images_npz()).status_code == 409
    assert client.get("/v1/datasets/mine").json() == first


def test_a_data_set_is_removed(client: TestClient, settings: Settings) -> None:
    upload(client, "mine", "csv", csv_bytes(WINE), target="quality")
    assert client.delete("/v1/datasets/mine").status_code == 204
    assert client.get("/v1/datasets/mine").status_code == 404
    assert client.delete("/v1/datasets/mine").status_code == 404
    assert client.delete("/v1/datasets/digits").status_code == 409
    assert [path.name for path in (settings.data_dir / "datasets").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("npz", b"", "no .npz file"),
        ("csv", b"a,target\n" + b"1,x\n2,y\n" * 9 + b",x\n", "line 20 has no a"),
        ("parquet", b"PAR0....PAR1", "not a Parquet file"),
        ("images", zip_bytes({"../robin/x.png": png_bytes()}), "not a plain path"),
    ],
)
def test_what_trials_could_not_use_is_refused_with_the_reason(
    client: TestClient, settings: Settings, kind: str, body: bytes, words: str
) -> None:
    response = upload(client, "mine", kind, body)
    assert response.status_code == 422, response.text
    assert words in response.json()["errors"][0]["message"]
    assert [path.name for path in (settings.data_dir / "datasets").rglob("*") if path.name != ".lock"] == []


class TestLimits:
    @pytest.fixture
    def settings(self, database_url: str, tmp_path: Path) -> Settings:
        return Settings(database_url=database_url, data_dir=tmp_path / "data", max_dataset_bytes=20_000)

    def test_too_large_an_upload_is_refused_declared_or_not(self, client: TestClient) -> None:
        body = bytes(20_001)
        assert upload(client, "mine", "npz", body).status_code == 413
        chunks = client.post("/v1/datasets", params={"name": "mine", "format": "npz"}, content=iter([body]))
        assert chunks.status_code == 413

    def test_what_unpacks_to_too_much_is_refused(self, client: TestClient, settings: Settings) -> None:
        bomb = npz_bytes(x=np.zeros((N, 100, 100)), y=np.arange(N) % 2)
        pictures = zip_bytes({f"robin/{index}.png": png_bytes() + bytes(2000) for index in range(N)})
        assert max(len(bomb), len(pictures)) < 20_000
        assert "unpacks to more" in upload(client, "mine", "npz", bomb).text
        assert "unpacks to more" in upload(client, "mine", "images", pictures).text
        assert [path.name for path in (settings.data_dir / "datasets").iterdir()] == []


def test_names_that_could_be_paths_are_refused(client: TestClient) -> None:
    for name in ("../up", "a/b", "A", ".hidden", "", "a" * 65):
        assert upload(client, name, "npz", images_npz()).status_code == 422


def test_coloured_and_grey_images_make_a_coloured_data_set(settings: Settings) -> None:
    for index in range(N):
        mode = "RGB" if index == 7 else "L"
        path = settings.data_dir / "datasets" / "birds" / ("robin", "wren")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(index, mode=mode))
    assert load("birds", data_dir=settings.data_dir, kind=DatasetKind.IMAGE).shape == (3, 3, 4)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("body", "at", "words"),
    [
        ({"trainer": {"params": {"dataset": "digit"}}}, "/trainer/params/dataset", "did you mean 'digits'"),
        ({"trainer": {"params": {"dataset": "breast_cancer"}}}, "/trainer/params/dataset", "is tabular"),
        ({"trainer": {"params": {"dataset": "broken"}}}, "/trainer/params/dataset", "no .npz file"),
        (
            {"search_space": {"dataset": {"type": "categorical", "choices": ["digits", "mnist"]}}},
            "/search_space/dataset/choices/1",
            "no data set 'mnist'",
        ),
    ],
)
def test_a_job_names_data_it_can_use(
    client: TestClient, settings: Settings, body: dict[str, Any], at: str, words: str, *, dry_run: bool
) -> None:
    place(settings, "broken.npz", b"not a zip")
    spec = {**body, "trainer": {"name": "image_classifier", **body.get("trainer", {})}}
    response = client.post("/v1/jobs", json=spec, params={"dry_run": dry_run})
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["pointer"] == at
    assert words in error["message"]
    assert client.get("/v1/jobs").json()["items"] == []


def test_a_job_may_name_an_uploaded_data_set(client: TestClient) -> None:
    upload(client, "mine", "npz", images_npz())
    body = {"trainer": {"name": "image_classifier", "params": {"dataset": "mine"}}}
    assert client.post("/v1/jobs", json=body).status_code == 201


def test_texts_that_hardly_come_again_are_no_classes(client: TestClient) -> None:
    rows = b"a,id\n" + b"".join(b"%d,house %d\n" % (i, i) for i in range(300))
    refused = upload(client, "houses", "csv", rows)
    assert refused.status_code == 422
    assert "its target has 300 different texts in 300 samples" in refused.json()["detail"]
    assert upload(client, "houses", "csv", rows, target_kind="classes").json()["n_classes"] == 300
    pairs = b"a,id\n" + b"".join(b"%d,house %d\n" % (i, i // 2) for i in range(300))
    assert upload(client, "pairs", "csv", pairs).json()["n_classes"] == 150


def test_a_target_of_numbers_is_not_for_a_classifier(client: TestClient) -> None:
    rows = "area,price\n" + "".join(f"{index},{index + 0.5}\n" for index in range(300))
    card = upload(client, "prices", "csv", rows.encode()).json()
    assert (card["target_kind"], card["n_classes"], card["n"]) == ("number", None, 300)
    body = {"trainer": {"name": "tabular_classifier", "params": {"dataset": "prices"}}}
    response = client.post("/v1/jobs", json=body)
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/trainer/params/dataset"
    assert "its target is a number, and this trainer tells classes apart" in error["message"]


def test_what_the_target_is_can_be_said_at_upload(client: TestClient) -> None:
    rows = "area,rooms\n" + "".join(f"{index},{index % 5}\n" for index in range(300))
    assert upload(client, "a", "csv", rows.encode()).json()["target_kind"] == "classes"
    card = upload(client, "b", "csv", rows.encode(), target_kind="number").json()
    assert (card["target_kind"], card["n_classes"]) == ("number", None)
    assert upload(client, "c", "csv", rows.encode(), target_kind="numbers").status_code == 422
