"""Data sets that a user might upload, from inside installed packages."""

import csv
from importlib import import_module
from pathlib import Path


def write_inputs(directory: Path) -> None:
    """Write `wine.csv` (178 wines by 13 measurements of very different sizes, UCI, by scikit-learn)."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "wine.csv"
    if path.exists():
        return
    bunch = import_module("sklearn.datasets").load_wine()
    names = [name.replace("/", " ") for name in bunch.feature_names]
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "label"])
        writer.writerows([*row, f"wine {target}"] for row, target in zip(bunch.data, bunch.target, strict=True))
    partial.replace(path)
