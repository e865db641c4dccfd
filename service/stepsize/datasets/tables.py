"""Tables: which column is predicted, what a value means, and whether the target is a number."""

import csv
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from stepsize.datasets.cards import FEWEST_SAMPLES, MOST_CLASSES, TargetKind, UnreadableDatasetError

MOST_CATEGORIES = 64
"""Different texts in a column of a table: each becomes a feature."""
_TARGET_NAMES = ("target", "label", "class")
_FEWEST_PER_CLASS = 10
"""Whole numbers of which there are fewer samples each, on average, are amounts and no classes, …"""
_SURELY_CLASSES = 20
"""… unless there are no more of them than this."""
_FEWEST_PER_TEXT = 2
"""Texts of which there are fewer samples each, on average, are names or sentences and no classes."""


def choose_target(names: Sequence[str], wanted: str | None) -> str:
    """Return which column is to be predicted: the one named, else `target`, `label` or `class`, else the last.

    Raises:
        UnreadableDatasetError: there is no such column, or none at all.
    """
    if wanted is not None:
        if wanted not in names:
            raise UnreadableDatasetError(f"there is no column {wanted!r} to predict; there are {', '.join(names)}")
        return wanted
    if not names:
        raise UnreadableDatasetError("the first line must name the columns")
    return next((name for name in _TARGET_NAMES if name in names), names[-1])


def target_kind(
    n: int, n_different: int, *, is_numeric: bool, is_whole: bool, wanted: TargetKind | None = None
) -> TargetKind:
    """Return whether a target is one of a few classes, or a number.

    Text is a class where it comes again, and a number that isn't whole an amount. Whole numbers may be either: they are
    classes where there are few of them, or many samples of each.

    Args:
        n: samples.
        n_different: values of the target; `MOST_CLASSES` + 1 stands for all above.
        is_numeric: whether all are numbers.
        is_whole: whether all of these are whole.
        wanted: what its owner says.

    Raises:
        UnreadableDatasetError: it can't be what its owner says, or nobody says and it is neither.
    """
    if wanted is TargetKind.NUMBER and not is_numeric:
        raise UnreadableDatasetError("the target is said to be a number, and some of its values are none")
    if wanted is not None:
        return wanted
    if not is_numeric:
        if _FEWEST_PER_TEXT * n_different > n >= FEWEST_SAMPLES and n_different <= MOST_CLASSES:
            raise UnreadableDatasetError(
                f"its target has {n_different} different texts in {n} samples: hardly classes; name another target, or "
                "say target_kind classes"
            )
        return TargetKind.CLASSES
    is_few = n_different <= max(_SURELY_CLASSES, min(MOST_CLASSES, n // _FEWEST_PER_CLASS))
    return TargetKind.CLASSES if is_whole and is_few else TargetKind.NUMBER


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a CSV file, each with its number; the first names the columns, and empty ones are left out.

    Raises:
        UnreadableDatasetError: a line has more or fewer values than there are columns, or two columns have one name.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        for name, n_columns in Counter(header).items():
            if n_columns > 1:
                raise UnreadableDatasetError(f"{n_columns} columns are called {name!r}; rename them")
        for sign, name in ((";", ";"), ("\t", "tabs"), ("|", "|")):
            if len(header) == 1 and sign in header[0]:
                raise UnreadableDatasetError(
                    f"there is no column beside the target; separate them by commas, not {name}"
                )
        if len(header) > 1 and "" in map(str.strip, header):
            place = [name.strip() for name in header].index("") + 1
            raise UnreadableDatasetError(
                f"column {place} has no name; name it, or leave it out (pandas writes its index so: use index=False)"
            )
        yield 1, header
        for row in rows:
            if row and len(row) != len(header):
                raise UnreadableDatasetError(
                    f"line {rows.line_num} has {len(row)} values, the first line names {len(header)}"
                )
            if row:
                yield rows.line_num, row


def read_value(text: str, *, name: str, line: int) -> float | None:
    """Return a value of a table as a number; None: it is text.

    Raises:
        UnreadableDatasetError: it is missing, or not finite.
    """
    if not text.strip():
        raise UnreadableDatasetError(f"line {line} has no {name}; fill it in or drop the line")
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        raise UnreadableDatasetError(f"line {line} has {name} {text.strip()}; fill it in or drop the line")
    return number
