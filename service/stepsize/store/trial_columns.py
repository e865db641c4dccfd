"""One job's trials as columns in memory: what lists sort and filter by, in order, kept up to date row by row.

A column takes 8 bytes a trial and an order 4: a sorted page of 100,000 trials is a walk over arrays instead of reading
100,000 JSON documents. Numbers of trials count from 0 without gaps, so a number is a place in every array.
"""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from functools import cached_property
from math import isnan, nan

Key = tuple[float | None, str | None]
"""A trial's value in a column: a number, a string, or neither."""


class Column:
    """One field of every trial: a number, a string (booleans too, marked as such), or nothing.

    The order is that of `SortKey` in SQL: numbers, then strings, then what has neither; equal ones by trial number.
    """

    def __init__(self) -> None:
        self.numbers = array("d")
        self.texts: dict[int, str] = {}
        self._orders: dict[bool, array[int]] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def key(self, trial: int) -> Key:
        number = self.numbers[trial]
        return (None if isnan(number) else number, self.texts.get(trial))

    def fill(self, trial: int, number: float | None, text: str | None) -> None:
        """Set a trial's value without keeping orders; `forget_orders` must follow."""
        if trial >= len(self.numbers):
            self.numbers.extend([nan] * (trial + 1 - len(self.numbers)))
        self.numbers[trial] = nan if number is None else number
        if text is None:
            self.texts.pop(trial, None)
        else:
            self.texts[trial] = text

    def forget_orders(self) -> None:
        self._orders.clear()
        self.__dict__.pop("_by_text", None)

    def set(self, trial: int, number: float | None, text: str | None) -> None:
        """Set a trial's value and move it to its place in every order."""
        before = self.key(trial) if trial < len(self) else (None, None)
        if before == (number, text):
            self.fill(trial, number, text)
            return
        for descending, order in self._orders.items():
            if before[0] is not None:
                order.pop(self._place(order, descending, before[0], trial))
        if "_by_text" in self.__dict__ and before[1] is not None:
            group = self._by_text[before[1]]
            group.pop(bisect_left(group, trial))
        self.fill(trial, number, text)
        for descending, order in self._orders.items():
            if number is not None:
                order.insert(self._place(order, descending, number, trial), trial)
        if "_by_text" in self.__dict__ and text is not None:
            insort(self._by_text.setdefault(text, []), trial)

    def walk(self, *, descending: bool, after: tuple[Key, int] | None) -> Iterator[int]:
        """Yield trials in order; those that come later than a key and a trial number, if given."""
        (number, text), trial = after or ((None, None), -1)
        in_numbers, in_texts = after is None or number is not None, after is None or text is not None
        if in_numbers:
            order = self._order(descending)
            start = (
                0
                if number is None
                else bisect_right(order, self._rank(descending, number, trial), key=self._ranker(descending))
            )
            yield from (order[place] for place in range(start, len(order)))
            text, trial = None, -1
        if in_numbers or in_texts:
            for one in sorted(self._by_text, reverse=descending):
                if text is None or (one < text if descending else one > text):
                    yield from self._by_text[one]
                elif one == text:
                    group = self._by_text[one]
                    yield from group[bisect_right(group, trial) :]
            trial = -1
        numbers, texts = self.numbers, self.texts
        yield from (n for n in range(trial + 1, len(numbers)) if numbers[n] != numbers[n] and n not in texts)

    def _order(self, descending: bool) -> "array[int]":
        if descending not in self._orders:
            numbers = self.numbers
            present = (n for n, number in enumerate(numbers) if number == number)
            # Stable also in reverse: equal ones stay by trial number.
            self._orders[descending] = array("i", sorted(present, key=numbers.__getitem__, reverse=descending))
        return self._orders[descending]

    @cached_property
    def _by_text(self) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for trial in sorted(self.texts):
            groups.setdefault(self.texts[trial], []).append(trial)
        return groups

    def _place(self, order: "array[int]", descending: bool, number: float, trial: int) -> int:
        return bisect_left(order, self._rank(descending, number, trial), key=self._ranker(descending))

    def _ranker(self, descending: bool) -> Callable[[int], tuple[float, int]]:
        numbers = self.numbers
        return lambda trial: self._rank(descending, numbers[trial], trial)

    @staticmethod
    def _rank(descending: bool, number: float, trial: int) -> tuple[float, int]:
        return (-number if descending else number, trial)
