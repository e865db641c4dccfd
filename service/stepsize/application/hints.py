"""Hints for mistyped names."""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST_LISTED = 20


def hint(name: str, known: Iterable[str]) -> str:
    """Return what to add to "there is no …": the nearest known name, or all of them."""
    names = list(known)
    if nearest := get_close_matches(name, names, n=1):
        return f"did you mean {nearest[0]!r}?"
    if not names:
        return "there are none"
    listed = ", ".join(sorted(names)[:_MOST_LISTED])
    return f"known: {listed}" + (", …" if len(names) > _MOST_LISTED else "")
