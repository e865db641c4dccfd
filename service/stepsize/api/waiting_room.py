"""Clients that wait for a suggestion or a verdict hold no thread and no connection, and share what they read.

All who wait on a job are woken by the one notifier and look at the record once, together. A suggestion wakes nobody in
vain: those who have waited longest try for it, as many as there are suggestions.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from stepsize.api.notifier import Notifier, Wake, Watch
from stepsize.application.suggestions import read_standing
from stepsize.store.database import Database
from stepsize.store.suggestions import Standing

T = TypeVar("T")

_LAPSE_MARGIN_S = 0.01
"""A lease is looked at this long after it has run out."""


class WaitingRoom:
    """One an API process. Belongs to its event loop."""

    def __init__(self, database: Database, notifier: Notifier) -> None:
        self._database = database
        self._notifier = notifier
        self._looks: dict[str, asyncio.Task[Standing]] = {}
        self._queues: dict[str, dict[object, None]] = {}

    async def wait_for_suggestion(
        self, job_id: str, client: str, attempt: Callable[[bool], Awaitable[T | None]], *, wait_s: float
    ) -> T:
        """Return what `attempt` returns, once it returns something.

        Args:
            client: what it has already, it is given at once.
            attempt: asks the database; given True it must answer, if only to say that there is nothing.
            wait_s: seconds after which it must.
        """
        ticket = object()
        queue = self._queues.setdefault(job_id, {})
        queue[ticket] = None
        try:
            with self._notifier.watch(job_id) as watch:
                return await self._try_in_turn(job_id, client, ticket, attempt, watch, wait_s)
        finally:
            del queue[ticket]
            if not queue:
                self._queues.pop(job_id, None)

    async def wait_for_verdict(self, job_id: str, number: int, *, token: int, step: int, wait_s: float) -> None:
        """Wait until a step of a trial has been judged, or the trial is no longer the client's."""
        deadline = _clock() + wait_s
        with self._notifier.watch(job_id) as watch:
            while (left_s := deadline - _clock()) > 0:
                standing = await self._look(job_id)
                held = standing.held.get(number)
                if held is None or held.token != token or (held.judged_step is not None and held.judged_step >= step):
                    return
                if await watch.beyond(standing.change, timeout_s=left_s) is Wake.END:
                    return

    async def _try_in_turn(
        self,
        job_id: str,
        client: str,
        ticket: object,
        attempt: Callable[[bool], Awaitable[T | None]],
        watch: Watch,
        wait_s: float,
    ) -> T:
        deadline = _clock() + wait_s
        is_over = False
        while True:
            standing = await self._look(job_id)
            left_s = deadline - _clock()
            must_answer = is_over or standing.is_over or left_s <= 0
            is_turn = ticket in islice(self._queues[job_id], standing.n_offered)
            if must_answer or is_turn or standing.holds(client):
                if (answer := await attempt(must_answer)) is not None:
                    return answer
                continue  # not in vain: whoever was faster has changed the job, and the next look tells
            pause_s = min(left_s, (standing.next_lapse_s or left_s) + _LAPSE_MARGIN_S)
            is_over = await watch.beyond(standing.change, timeout_s=pause_s) is Wake.END

    async def _look(self, job_id: str) -> Standing:
        """Read how the job stands, together with whoever wants to know at the same time."""
        look = self._looks.get(job_id)
        if look is None:
            look = asyncio.create_task(run_in_threadpool(self._read, job_id))
            self._looks[job_id] = look
            look.add_done_callback(lambda _: self._looks.pop(job_id, None))
        return await asyncio.shield(look)

    def _read(self, job_id: str) -> Standing:
        with self._database.read() as connection:
            return read_standing(connection, job_id)


def _clock() -> float:
    return asyncio.get_running_loop().time()
