"""A cache of parsed data sets, shared by all processes of a machine."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from workers.training.datasets.registry import Images, Labels


def cached(path: Path, fetch: Callable[[], tuple[Images, Labels]]) -> tuple[Images, Labels]:
    """Return the arrays in `path`, fetching and writing them if there is no such file.

    Several processes may do this at once: each writes a file of its own and renames it, so none ever reads half of one.
    """
    if not path.exists():
        images, labels = fetch()
        _write(path, images, labels)
    with np.load(path) as arrays:
        return arrays["images"], arrays["labels"]


def _write(path: Path, images: Images, labels: Labels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
        try:
            np.savez_compressed(file, images=images, labels=labels)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave an empty file under the final name
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).chmod(0o644)  # readable by workers of other users, as a plain file would be
    Path(file.name).replace(path)
