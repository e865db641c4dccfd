"""A cache of parsed data sets, shared by all processes of a machine."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stepsize_workers.training.datasets.arrays import Arrays


def cached(path: Path, fetch: Callable[[], Arrays]) -> Arrays:
    """Return the arrays in `path`, fetching and writing them if there is no such file.

    Several processes may do this at once: each writes a file of its own and renames it, so none ever reads half of one.
    """
    if not path.exists():
        _write(path, fetch())
    with np.load(path) as saved:
        return Arrays(
            saved["inputs"],
            saved["labels"],
            tuple(saved["class_names"].tolist()),
            highest=float(saved["highest"]),
            features=tuple(saved["features"].tolist()),
        )


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
        try:
            np.savez_compressed(
                file,
                inputs=arrays.inputs,
                labels=arrays.labels,
                class_names=np.array(arrays.class_names, dtype=str),
                highest=arrays.highest,
                features=np.array(arrays.features, dtype=str),
            )
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave an empty file under the final name
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).chmod(0o644)  # readable by workers of other users, as a plain file would be
    Path(file.name).replace(path)
