"""Threads that watch something for the worker, and are watched themselves: none may die unnoticed."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

import structlog

from stepsize.store.database import Database
from stepsize.store.signal import open_signal

log = structlog.get_logger()


class Watcher(ABC):
    """A thread of the worker's own; if it dies, the worker is told.

    A worker whose leases nobody renews, or that no longer hears of what clients want, looks alive and is not.
    """

    def __init__(self, name: str, on_death: Callable[[], None]) -> None:
        """Make a watcher, not yet started.

        Args:
            on_death: called in the watcher's thread, once, if that ends without having been asked to.
        """
        self._name = name
        self._on_death = on_death
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join()

    @abstractmethod
    def _watch(self) -> None:
        """Watch until `_closing` is set."""

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException:
            log.exception("a watcher of this worker died", watcher=self._name)
        if not self._closing.is_set():
            self._on_death()


class ChangeWatcher(Watcher):
    """Notices commits by anyone."""

    def __init__(
        self, database: Database, *, poll_s: float, on_change: Callable[[], None], on_death: Callable[[], None]
    ) -> None:
        super().__init__("change-watcher", on_death)
        self._database = database
        self._poll_s = poll_s
        self._on_change = on_change
        self.is_eager = False
        """Whether clients wait until their commits are noticed."""

    def _watch(self) -> None:
        signal = open_signal(self._database)
        try:
            while not self._closing.is_set():
                if signal.wait(self._poll_s, eagerly=self.is_eager):
                    self._on_change()
        finally:
            signal.close()
