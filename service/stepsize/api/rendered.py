"""Jobs as they were last sent, kept until they change: of a hundred polls of a job, one reads and renders it."""

import threading

from cachetools import LRUCache

_KEPT_BYTES = 4 * 2**20


class Rendered:
    """JSON by job, each as of a change. Safe to use from many threads.

    Only what follows from the job's row and its answer may be kept here; whatever writes these raises the change.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: LRUCache[str, tuple[int, bytes]] = LRUCache(_KEPT_BYTES, getsizeof=lambda kept: len(kept[1]))

    def find(self, job_id: str, change: int) -> bytes | None:
        """Return the job as it is at this change; None: it was another when it was last sent."""
        with self._lock:
            kept = self._kept.get(job_id)
        return kept[1] if kept is not None and kept[0] == change else None

    def keep(self, job_id: str, change: int, body: bytes) -> None:
        """Keep a job as it is at this change."""
        with self._lock:
            if len(body) <= _KEPT_BYTES:
                self._kept[job_id] = change, body
