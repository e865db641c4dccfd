"""How well is memory foretold? `python -m benchmarks.memory`: predicted and real peak of whole training processes.

Each row trains in a fresh process at the whole batch size, beside the prediction from two smaller ones.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from stepsize_workers.trainers.image_classifier import ImageClassifier, ImageClassifierParams
from stepsize_workers.training import memory
from stepsize_workers.training.devices import use_device
from stepsize_workers.training.loop import make_one_update

CPU = torch.device("cpu")
NETWORKS: list[dict[str, object]] = [
    {"dataset": "pictures", "model": "cnn", "width": 64, "depth": 3},
    {"dataset": "pictures", "model": "cnn", "width": 128, "depth": 2, "optimizer": "adam"},
    {"dataset": "pictures", "model": "mlp", "width": 1024, "depth": 2},
    {"dataset": "pictures", "model": "mlp", "width": 2048, "depth": 4, "optimizer": "adam"},
    {"dataset": "mnist5k", "model": "cnn", "width": 32, "depth": 2},
    {"dataset": "mnist5k", "model": "mlp", "width": 64, "depth": 2},
]
BATCH_SIZES = (1024, 3000)


def main(arguments: Sequence[str]) -> None:
    """Print the table, or (in the fresh process) one real peak."""
    if arguments:
        sys.stdout.write(str(measure_real(ImageClassifierParams.model_validate_json(arguments[0]), Path(arguments[1]))))
        return
    with tempfile.TemporaryDirectory() as directory:
        print_table(Path(directory))


def print_table(data_dir: Path) -> None:
    """Measure every network at every batch size."""
    (data_dir / "datasets").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6000, 32, 32, 3), dtype=np.uint8)
    np.savez(data_dir / "datasets" / "pictures.npz", x=pixels, y=np.arange(6000) % 10)
    sys.stdout.write("network | batch | predicted MiB | real MiB | error\n")
    errors = []
    for network in NETWORKS:
        for batch_size in BATCH_SIZES:
            params = ImageClassifierParams.model_validate({**network, "batch_size": batch_size})
            predicted, real = predict(params, data_dir), run_real(params, data_dir)
            errors.append(predicted / real - 1)
            name = json.dumps(network)
            cells = (name, batch_size, f"{predicted / 2**20:.0f}", f"{real / 2**20:.0f}", f"{errors[-1]:+.1%}")
            sys.stdout.write(" | ".join(map(str, cells)) + "\n")
    sys.stdout.write(f"from {min(errors):+.1%} to {max(errors):+.1%}, median {median(errors):+.1%}\n")


def predict(params: ImageClassifierParams, data_dir: Path) -> int:
    """Return the bytes foretold, measured anew."""
    line = memory.measure(memory.Probe.of(ImageClassifier, params, CPU, data_dir, batch_size=params.batch_size))
    assert line is not None, "the probe failed"
    return line.at(params.batch_size)


def run_real(params: ImageClassifierParams, data_dir: Path) -> int:
    """Return the peak of three real updates in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", params.model_dump_json(), str(data_dir)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure_real(params: ImageClassifierParams, data_dir: Path) -> int:
    """Train in this process, and return its peak."""
    task = ImageClassifier()
    task.prepare(params, device=use_device("cpu"), data_dir=data_dir)
    memory.forget_peak(CPU)
    for _ in range(3):
        make_one_update(task, params, CPU)
    return memory.peak_bytes(CPU)


if __name__ == "__main__":
    main(sys.argv[1:])
