"""Files that go to the service and come from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from stepsize.client.errors import WrongValueError

ExportFormat = Literal["csv", "jsonl", "parquet", "optuna"]
Rows = Literal["trials", "reports"]

DATASET_FORMATS = {".npz": "npz", ".csv": "csv", ".parquet": "parquet", ".zip": "images"}


def dataset_query(
    file: Path,
    *,
    name: str | None,
    file_format: str | None,
    target: str | None,
    target_kind: str | None,
    words: str | None,
) -> dict[str, str]:
    """Return how an upload is described; what was left out follows from the file's name.

    Raises:
        WrongValueError: there is no such file, or its ending is none of a data set's.
    """
    if not file.is_file():
        raise WrongValueError(f"{file} is a directory" if file.is_dir() else f"there is no file {file}")
    ending = file.suffix.lower()
    if file_format is None and ending not in DATASET_FORMATS:
        raise WrongValueError(f"{file.name} is none of {', '.join(DATASET_FORMATS)}; name its format")
    query = {
        "name": name or file.stem,
        "format": file_format or DATASET_FORMATS[ending],
        "target": target,
        "target_kind": target_kind,
        "help": words,
    }
    return {key: value for key, value in query.items() if value is not None}


def export_format(file: Path | None) -> ExportFormat:
    """Return the format that a file's name asks for; CSV where it has no ending.

    Raises:
        WrongValueError: there is none of that name.
    """
    match file and file.suffix.lower():
        case ".jsonl":
            return "jsonl"
        case ".parquet":
            return "parquet"
        case ".csv" | "" | None:
            return "csv"
        case ending:
            meant = "did you mean .jsonl? Else w" if ending in (".json", ".ndjson") else "w"
            raise WrongValueError(
                f"no format ends in {ending}; {meant}rite .csv, .jsonl or .parquet, or name the format"
            )


@contextmanager
def complete_file(file: Path) -> Iterator[BinaryIO]:
    """Give a file to write that is complete when the context ends well, and isn't there otherwise.

    Raises:
        WrongValueError: there can be no such file.
    """
    if file.is_dir():
        raise WrongValueError(f"{file} is a directory; name a file in it")
    if not file.parent.is_dir():
        raise WrongValueError(f"there is no directory {file.parent}")
    partial = file.with_name(f"{file.name}.partial")
    try:
        with partial.open("wb") as target:
            yield target
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
