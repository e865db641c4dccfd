"""Equal questions at the same time are asked once."""

import threading
from collections.abc import Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Answers under way, by question. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[K, Future[V]] = {}

    def join(self, key: K) -> "tuple[Future[V], bool]":
        """Return the answer to come, and whether it is the caller's to give: by `set_result` or `set_exception`."""
        with self._lock:
            if (flight := self._flights.get(key)) is not None:
                return flight, False
            flight = self._flights[key] = Future()
        flight.set_running_or_notify_cancel()  # not to be cancelled: others may wait for it
        flight.add_done_callback(lambda _: self._forget(key))
        return flight, True

    def _forget(self, key: K) -> None:
        with self._lock:
            self._flights.pop(key, None)
