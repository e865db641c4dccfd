"""Spells without the database, told in a bounded number of lines however long they last."""

import time
from collections.abc import Callable

_FIRST_SILENCE_S = 1.0
_LONGEST_SILENCE_S = 60.0


class Outage:
    """Tells when the database is away, ever more rarely, and when it is back.

    Args:
        say_away: told what the driver says, and for how many seconds it has been so.
        say_back: told after how many seconds.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        *,
        say_away: Callable[[str, float], None],
        say_back: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say_away = say_away
        self._say_back = say_back
        self._clock = clock
        self._since: float | None = None
        self._next = 0.0
        self._silence_s = _FIRST_SILENCE_S

    def note(self, reason: str) -> None:
        """Note that it did not answer; said at once the first time, then in pauses that double up to a minute."""
        now = self._clock()
        if self._since is None:
            self._since, self._silence_s, self._next = now, _FIRST_SILENCE_S, now
        if now >= self._next:
            self._say_away(" ".join(reason.split()), now - self._since)
            self._next = now + self._silence_s
            self._silence_s = min(2 * self._silence_s, _LONGEST_SILENCE_S)

    def end(self) -> None:
        """Note that it answers; said if it was away."""
        if self._since is not None:
            self._say_back(self._clock() - self._since)
            self._since = None
