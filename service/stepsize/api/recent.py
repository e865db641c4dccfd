"""Answers that many clients ask for at once, kept until the job has changed, and for a moment beyond.

A hundred dashboards on one running job ask for the same curves a hundred times a second, while the job changes with
every commit of its worker. Computing them once per half second is enough for eyes; what takes long to compute is kept
for longer, so that nothing asked for again and again takes more than half a hundredth of a core.
"""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from cachetools import LRUCache

from stepsize.single_flight import SingleFlight

_FRESH_S = 0.5
_FRESH_PER_COST = 200.0
"""Seconds an answer stays fresh for each second of this thread's CPU that it took to make."""
_LONGEST_S = 15.0
_KEPT = 64


@dataclass(frozen=True)
class Kept:
    """An answer, the change it was read at, and until when it is good enough for a job that goes on."""

    body: bytes
    change: int
    fresh_until: float


class Recent:
    """Recent answers by question. Safe to use from many threads; equal questions wait for one another."""

    def __init__(self, *, fresh_s: float = _FRESH_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: LRUCache[Hashable, Kept] = LRUCache(_KEPT)
        self._flights: SingleFlight[Hashable, Kept] = SingleFlight()

    def get(
        self, key: Hashable, change: int, make: Callable[[], tuple[bytes, int]], *, is_settled: bool = False
    ) -> Kept:
        """Return the answer to a question about a job that is at `change`.

        Args:
            make: reads the answer anew and tells the change it was read at.
            is_settled: whether the job has come to rest: then only its last word will do, for nobody asks again.
        """
        if (kept := self._find(key, change, is_settled=is_settled)) is not None:
            return kept
        flight, is_first = self._flights.join(key)
        if is_first:
            try:
                flight.set_result(self._find(key, change, is_settled=is_settled) or self._make(key, make))
            except BaseException as error:  # noqa: BLE001 - raised below, and by those who joined
                flight.set_exception(error)
        return flight.result()

    def _make(self, key: Hashable, make: Callable[[], tuple[bytes, int]]) -> Kept:
        begun_s = time.thread_time()
        body, read_change = make()
        cost_s = time.thread_time() - begun_s
        fresh_s = min(max(self._fresh_s, _FRESH_PER_COST * cost_s), _LONGEST_S)
        kept = Kept(body, read_change, self._clock() + fresh_s)
        with self._lock:
            self._kept[key] = kept
        return kept

    def _find(self, key: Hashable, change: int, *, is_settled: bool) -> Kept | None:
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            return None
        is_good_enough = not is_settled and self._clock() < kept.fresh_until
        return kept if kept.change >= change or is_good_enough else None
