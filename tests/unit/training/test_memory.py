"""Out of memory, foreseen."""

import json
from pathlib import Path

import psutil
import pytest
import torch

from tests.fakes import RecordingContext
from tests.unit.training.data import DATA_DIR
from workers.trainers.image_classifier import ImageClassifier, ImageClassifierParams
from workers.training import memory
from workers.training.memory import Extent, MemoryLine, OutOfMemoryForeseenError, available_bytes, check_memory

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

    def test_a_network_is_measured_once_whatever_its_rate(self) -> None:
        for rate in (0.1, 0.2):
            self.check(batch_size=256, learning_rate=rate)
        assert len(self.probes) == 1
        self.check(batch_size=256, width=64)
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
