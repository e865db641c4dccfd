"""Answers that many clients ask for at once, kept until the job has changed, and for a moment beyond.

A hundred dashboards on one running job ask for the same curves a hundred times a second, while the job changes with
every commit of its worker. Computing them once per half second is enough for eyes and bounds the cost.
"""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from cachetools import LRUCache

from stepsize.single_flight import SingleFlight

_FRESH_S = 0.5
_KEPT = 64


@dataclass(frozen=True)
class Kept:
    """An answer, the change it was read at, and when."""

    body: bytes
    change: int
    read_at: float


class Recent:
    """Recent answers by question. Safe to use from many threads; equal questions wait for one another."""

    def __init__(self, *, fresh_s: float = _FRESH_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: LRUCache[Hashable, Kept] = LRUCache(_KEPT)
        self._flights: SingleFlight[Hashable, Kept] = SingleFlight()

    def get(self, key: Hashable, change: int, make: Callable[[], tuple[bytes, int]]) -> Kept:
        """Return the answer to a question about a job that is at `change`.

        Args:
            make: reads the answer anew and tells the change it was read at.
        """
        if (kept := self._find(key, change)) is not None:
            return kept
        flight, is_first = self._flights.join(key)
        if is_first:
            try:
                flight.set_result(self._find(key, change) or self._make(key, make))
            except BaseException as error:  # noqa: BLE001 - raised below, and by those who joined
                flight.set_exception(error)
        return flight.result()

    def _make(self, key: Hashable, make: Callable[[], tuple[bytes, int]]) -> Kept:
        body, read_change = make()
        kept = Kept(body, read_change, self._clock())
        with self._lock:
            self._kept[key] = kept
        return kept

    def _find(self, key: Hashable, change: int) -> Kept | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            is_fresh = kept.change >= change or self._clock() - kept.read_at < self._fresh_s
            return kept if is_fresh else None
