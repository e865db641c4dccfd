"""Out of memory, foreseen."""

import json
import sys
from pathlib import Path

import psutil
import pytest
import torch

from stepsize_workers.trainers.image_classifier import ImageClassifier, ImageClassifierParams
from stepsize_workers.training import memory
from stepsize_workers.training.memory import MemoryLine, OutOfMemoryForeseenError, available_bytes, check_memory
from stepsize_workers.training.task import Extent
from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR

CPU = torch.device("cpu")
EXTENT = Extent(n_samples=1000, sample_bytes=1000)


def make_params(**params: object) -> ImageClassifierParams:
    return ImageClassifierParams.model_validate({"dataset": "digits", "model": "mlp", **params})


def test_a_line_through_two_batches_foretells_a_third() -> None:
    line = MemoryLine.through((32, 64), (1_000 + 32 * 10, 1_000 + 64 * 10))
    assert (line.fixed, line.per_sample, line.at(256)) == (1_000, 10, 1_000 + 256 * 10)


def test_noise_never_makes_larger_batches_smaller() -> None:
    assert MemoryLine.through((32, 64), (1_010, 1_000)).at(10_000) == 1_010


def test_a_setting_limits_what_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert psutil.Process().memory_info().rss < available_bytes(CPU) <= psutil.virtual_memory().total
    monkeypatch.setenv("STEPSIZE_MEMORY_LIMIT_BYTES", "1000000")
    assert available_bytes(CPU) == 1_000_000


@pytest.mark.parametrize(
    ("limit", "left"),
    # 1000 used, 300 of it by files that would be given up
    [("1500", 800), ("1000", 300), ("max", sys.maxsize)],
)
def test_files_in_a_containers_memory_are_no_hindrance(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, left: int
) -> None:
    monkeypatch.setattr(memory, "control_group", lambda: tmp_path)
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 600\nfile 400\ninactive_anon 5\ninactive_file 300\nactive_file 100\n")
    assert memory._left_in_group() == left


def test_a_probe_that_takes_too_long_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "_PROBE_TIMEOUT_S", 0.05)
    assert memory.measure(memory.Probe.of(ImageClassifier, make_params(), CPU, tmp_path, batch_size=256)) is None


class TestCheck:
    """With the measurement scripted: 100 bytes, and 1000 more for each sample."""

    @pytest.fixture(autouse=True)
    def _setup(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.probes: list[tuple[int, int]] = []
        self.data_dir = tmp_path

        def measure(probe: memory.Probe) -> MemoryLine:
            self.probes.append(probe.sizes)
            return MemoryLine(100, 1000)

        monkeypatch.setattr(memory, "measure", measure)
        monkeypatch.setenv("STEPSIZE_MEMORY_LIMIT_BYTES", str(500_100))

    def check(self, extent: Extent = EXTENT, **params: object) -> None:
        check_memory(ImageClassifier, make_params(**params), extent=extent, device=CPU, data_dir=self.data_dir)

    def test_a_batch_up_to_the_limit_passes_and_one_more_does_not(self) -> None:
        self.check(batch_size=500)
        with pytest.raises(OutOfMemoryForeseenError, match=r"a batch of 501 .* was not run"):
            self.check(batch_size=501)
        assert self.probes[0] == (62, 125)

    def test_a_batch_is_never_larger_than_the_data(self) -> None:
        self.check(Extent(n_samples=400, sample_bytes=1000), batch_size=4096)

    def test_small_batches_are_not_worth_a_probe(self) -> None:
        self.check(Extent(n_samples=1000, sample_bytes=1), batch_size=250)
        self.check(batch_size=15)
        assert self.probes == []

    def test_a_network_is_measured_once_whatever_its_amounts(self) -> None:
        changes: list[dict[str, object]] = [
            {"learning_rate": 0.2},
            {"momentum": 0.5, "dropout": 0.2},
            {"momentum": 0.6, "dropout": 0.1},
            {"schedule": "step", "gamma": 0.3, "clip_norm": 1.0, "label_smoothing": 0.1},
        ]
        for change in changes:
            self.check(EXTENT, **{"batch_size": 256, "dropout": 0.3, **change})
        assert len(self.probes) == 1

    @pytest.mark.parametrize(
        "change", [{"width": 64}, {"dropout": 0.0}, {"momentum": 0.0}, {"optimizer": "adam"}, {"train_fraction": 0.5}]
    )
    def test_another_network_is_measured_anew(self, change: dict[str, object]) -> None:
        self.check(batch_size=256, dropout=0.1)
        self.check(EXTENT, **{"batch_size": 256, "dropout": 0.1, **change})
        assert len(self.probes) == 2

    def test_a_probe_that_fails_leaves_the_answer_to_the_trial(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "measure", lambda _probe: None)
        self.check(batch_size=1000)


def test_a_trial_foreseen_to_run_out_of_memory_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPSIZE_MEMORY_LIMIT_BYTES", str(200 << 20))  # torch alone takes more
    context = RecordingContext(params=make_params(batch_size=1024), directory=tmp_path, data_dir=DATA_DIR)
    with pytest.raises(OutOfMemoryForeseenError, match=r"room for 0\.20 GiB"):
        ImageClassifier().train(context)
    assert (context.reports, context.n_polls) == ([], 0)
    (kept,) = (DATA_DIR / "cache" / "memory").iterdir()
    # A fresh process with torch, digits and a small net: between 150 MiB and 1 GiB.
    assert 150 << 20 < json.loads(kept.read_text())["fixed"] < 1 << 30
