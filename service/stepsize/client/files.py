"""Files that go to the service and come from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

ExportFormat = Literal["csv", "jsonl", "parquet", "optuna"]
Rows = Literal["trials", "reports"]

DATASET_FORMATS = {".npz": "npz", ".csv": "csv", ".parquet": "parquet", ".zip": "images"}


def dataset_query(
    file: Path, *, name: str | None, file_format: str | None, target: str | None, target_kind: str | None
) -> dict[str, str]:
    """Return how an upload is described; what was left out follows from the file's name.

    Raises:
        ValueError: its ending is none of a data set's.
    """
    ending = file.suffix.lower()
    if file_format is None and ending not in DATASET_FORMATS:
        raise ValueError(f"{file.name} is none of {', '.join(DATASET_FORMATS)}; say its format")
    query = {
        "name": name or file.stem,
        "format": file_format or DATASET_FORMATS[ending],
        "target": target,
        "target_kind": target_kind,
    }
    return {key: value for key, value in query.items() if value is not None}


def export_format(file: Path | None) -> ExportFormat:
    """Return the format that a file's name asks for; CSV where it has no ending.

    Raises:
        ValueError: there is none of that name.
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
            raise ValueError(f"no format ends in {ending}; {meant}rite .csv, .jsonl or .parquet, or name the format")


@contextmanager
def complete_file(file: Path) -> Iterator[BinaryIO]:
    """Give a file to write that is complete when the context ends well, and isn't there otherwise."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        with partial.open("wb") as target:
            yield target
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
