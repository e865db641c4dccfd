"""Answers that many clients ask for at once, kept until the job has changed, and for a moment beyond.

A hundred dashboards on one running job ask for the same curves a hundred times a second, while the job changes with
every commit of its worker. Computing them once per half second is enough for eyes and bounds the cost.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

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
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, change: int, make: Callable[[], tuple[bytes, int]]) -> Kept:
        """Return the answer to a question about a job that is at `change`.

        Args:
            make: reads the answer anew and tells the change it was read at.
        """
        if (kept := self._find(key, change)) is not None:
            return kept
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            if (kept := self._find(key, change)) is None:
                body, read_change = make()
                kept = Kept(body, read_change, self._clock())
                self._keep(key, kept)
        return kept

    def _find(self, key: Hashable, change: int) -> Kept | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            is_fresh = kept.change >= change or self._clock() - kept.read_at < self._fresh_s
            return kept if is_fresh else None

    def _keep(self, key: Hashable, kept: Kept) -> None:
        with self._lock:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                dropped, _ = self._kept.popitem(last=False)
                self._making.pop(dropped, None)
