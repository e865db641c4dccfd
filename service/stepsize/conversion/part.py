"""Reading a file of another tool part by part: what nobody asked for is told, never dropped.

A name that nearly is one that is asked for is a slip and refused; any other becomes a note.
"""

import math
from collections.abc import Iterator
from difflib import get_close_matches

from pydantic import JsonValue

from stepsize.conversion.outcome import ConversionError, Note

Notes = list[Note]


class Part:
    """A mapping of the file, and where it stands."""

    def __init__(self, data: JsonValue, place: str, notes: Notes, *, texts_are_numbers: bool = False) -> None:
        """Take a mapping.

        Args:
            place: where it stands; empty for the whole file.
            notes: what is to be told; shared by all parts of a file.
            texts_are_numbers: whether the tool writes its numbers as texts, as Kubernetes does.

        Raises:
            ConversionError: it is no mapping.
        """
        if not isinstance(data, dict):
            raise ConversionError(place, f"a mapping is expected here, not {shown(data)}")
        self._data = data
        self._asked: set[str] = set()
        self._place = place
        self._notes = notes
        self._texts_are_numbers = texts_are_numbers

    def __contains__(self, name: str) -> bool:
        self._asked.add(name)
        return self._data.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def at(self, name: str = "") -> str:
        """Return where a name of this part stands in the file."""
        return f"{self._place}.{name}".strip(".")

    def note(self, name: str, said: str) -> None:
        """Tell something of what stands under a name."""
        self._notes.append(Note(self.at(name), said))

    def error(self, name: str, said: str) -> ConversionError:
        """Return what is wrong under a name, to be raised."""
        return ConversionError(self.at(name), said)

    def take(self, name: str) -> JsonValue:
        """Return what stands under a name; None: nothing does."""
        self._asked.add(name)
        return self._data.get(name)

    def drop(self, *names: str, said: str) -> None:
        """Tell of each of these names that stands there why it is not carried over."""
        for name in names:
            if self.take(name) is not None:
                self.note(name, f"not carried over: {said}")

    def part(self, name: str) -> "Part":
        """Return the mapping under a name.

        Raises:
            ConversionError: there is none.
        """
        data = self.take(name)
        if data is None:
            raise self._missing(name)
        return Part(data, self.at(name), self._notes, texts_are_numbers=self._texts_are_numbers)

    def maybe_part(self, name: str) -> "Part":
        """Return the mapping under a name, an empty one where nothing stands there."""
        return self.part(name) if name in self else Part({}, self.at(name), self._notes)

    def parts(self, name: str) -> list["Part"]:
        """Return the mappings of the list under a name."""
        entries = self.items(name)
        place, numbers = self.at(name), self._texts_are_numbers
        return [
            Part(entry, f"{place}[{at}]", self._notes, texts_are_numbers=numbers) for at, entry in enumerate(entries)
        ]

    def elsewhere(self, data: JsonValue, place: str) -> "Part":
        """Return a mapping that was found somewhere below."""
        return Part(data, place, self._notes, texts_are_numbers=self._texts_are_numbers)

    def items(self, name: str) -> list[JsonValue]:
        """Return the list under a name, an empty one where nothing stands there."""
        found = self.take(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise self.error(name, f"a list is expected here, not {shown(found)}")
        return found

    def text(self, name: str) -> str:
        """Return the text under a name.

        Raises:
            ConversionError: there is none, or it is no text.
        """
        found = self.maybe_text(name)
        if found is None:
            raise self._missing(name)
        return found

    def maybe_text(self, name: str) -> str | None:
        """Return the text under a name; None: nothing stands there."""
        found = self.take(name)
        if found is not None and not isinstance(found, str):
            raise self.error(name, f"a text is expected here, not {shown(found)}")
        return found

    def number(self, name: str) -> float:
        """Return the number under a name: an int where it is written as one.

        Raises:
            ConversionError: there is none, or it is no number.
        """
        found = self.maybe_number(name)
        if found is None:
            raise self._missing(name)
        return found

    def maybe_number(self, name: str) -> float | None:
        """Return the number under a name; None: nothing stands there."""
        found = self.take(name)
        if found is None:
            return None
        number = as_number(found) if self._texts_are_numbers or not isinstance(found, str) else None
        if number is None:
            raise self.error(name, f"a number is expected here, not {shown(found)}")
        return number

    def maybe_whole(self, name: str) -> int | None:
        """Return the whole number under a name; None: nothing stands there."""
        number = self.maybe_number(name)
        if number is None:
            return None
        if number != int(number):
            raise self.error(name, f"a whole number is expected here, not {number:g}")
        return int(number)

    def close(self) -> None:
        """Tell of every name that nobody has asked for.

        Raises:
            ConversionError: some are nearly names that were asked for.
        """
        slips = []
        for name in self._data:
            if name in self._asked:
                continue
            near = get_close_matches(name, sorted(self._asked), n=1, cutoff=0.8)
            if near:
                slips.append(self.error(name, f"there is no such name here; {near[0]!r} is meant?"))
            else:
                self.note(name, "not carried over: it is not known here")
        if slips:
            raise ConversionError.of(slips)

    def _missing(self, name: str) -> ConversionError:
        near = get_close_matches(name, [other for other in self._data if other not in self._asked], n=1, cutoff=0.6)
        self._asked |= set(near)  # told here, and not once more as a name that is not known
        hint = f"; {self.at(near[0])} is meant for it?" if near else ""
        return self.error(name, f"this is needed and missing{hint}")


def as_number(value: JsonValue) -> float | None:
    """Return a number, whole where it is written as one, a text's too; None: it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int):
        return value
    try:
        return int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() else _finite(value)
    except ValueError:
        return None


def shown(value: JsonValue) -> str:
    """Return a value as a message quotes it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _finite(value: float | str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
