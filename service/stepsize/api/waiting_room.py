"""Where clients wait for suggestions and verdicts: they hold no thread and no connection, and share what they read.

One leader a job is woken by the notifier, looks at the record for all who wait there, and calls as many of them as
there are suggestions, those first who have waited longest. Nobody else wakes: with 200 clients that each looked for
themselves, three quarters of the API's time went into looking in vain.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from stepsize.api.group_commit import GroupCommit
from stepsize.api.notifier import Notifier, Wake, Watch
from stepsize.application.suggestions import note_asking, read_standing
from stepsize.errors import JobNotFoundError
from stepsize.store.database import Connection, Database, DatabaseError
from stepsize.store.suggestions import Standing

T = TypeVar("T")

_LAPSE_MARGIN_S = 0.01
"""A lease is looked at this long after it has run out."""
_LOOK_EVERY_S = 0.03
"""Time between two looks of a leader for many."""
_LOOK_EVERY_S_EACH = 0.001
"""And for a few, for each of them: more clients that come and go would have it look all the time."""
_SILENCE_S = 60.0
_FEW = 8
_MORE = 1.25
"""The worker offers as many trials as clients have, and doubles that way. It is told of a crowd, for which that takes
long: of the first few that wait in vain, and each time that there are so many times more than before."""


class Turn(Enum):
    """Why a client tries to get a suggestion."""

    FIRST = auto()
    """It has just come: nobody has looked whether there is any."""
    CALLED = auto()
    """There is something for it."""
    LAST = auto()
    """It must answer, if only that there is nothing."""


class _Waiter:
    """One client's request, until it is answered."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.call: asyncio.Future[Turn] | None = None
        """Done when it is its turn; None while it tries."""

    @property
    def is_waiting(self) -> bool:
        return self.call is not None and not self.call.done()


class _Queue:
    """Those who wait for suggestions of one job, in the order in which they came, and their leader."""

    def __init__(
        self,
        job_id: str,
        notifier: Notifier,
        look: Callable[[str], Awaitable[Standing]],
        tell: Callable[[str, int], Awaitable[None]],
    ) -> None:
        self._job_id = job_id
        self._notifier = notifier
        self._look = look
        self._tell = tell
        self._most_told = _FEW
        """The most clients that the worker knows of."""
        self._waiters: dict[_Waiter, None] = {}
        self._n_left = 0
        """Suggestions for which nobody has been called yet, as far as the last look tells."""
        self._watch: Watch | None = None
        self._leader = asyncio.create_task(self._lead())

    def __len__(self) -> int:
        return len(self._waiters)

    def add(self, waiter: _Waiter) -> None:
        self._waiters[waiter] = None

    def remove(self, waiter: _Waiter) -> None:
        """Let go of a waiter; the leader goes with the last."""
        del self._waiters[waiter]
        if not self._waiters:
            self._leader.cancel()

    async def turn(self, waiter: _Waiter, left_s: float) -> Turn:
        """Wait until it is a waiter's turn."""
        if left_s <= 0:
            return Turn.LAST
        if self._n_left > 0:
            self._n_left -= 1
            return Turn.CALLED
        waiter.call = asyncio.get_running_loop().create_future()
        self._stir()  # it may have trials already
        try:
            async with asyncio.timeout(left_s):
                return await waiter.call
        except TimeoutError:
            return Turn.LAST

    def back(self, waiter: _Waiter) -> None:
        """Note that a waiter has tried."""
        waiter.call = None
        self._stir()

    def _stir(self) -> None:
        if self._watch is not None:
            self._watch.stir()

    async def _lead(self) -> None:
        loop = asyncio.get_running_loop()
        with self._notifier.watch(self._job_id, eagerly=True) as self._watch:
            wake = Wake.CHANGE
            while wake is not Wake.END:
                looked_at = loop.time()
                try:
                    standing = await self._look(self._job_id)
                except Exception as error:  # noqa: BLE001 - raised by each who waits
                    self._fail(error)
                    change, pause_s = -1, _SILENCE_S
                else:
                    self._call_up(standing)
                    await self._tell_of_crowd(standing)
                    change, pause_s = standing.change, (standing.next_lapse_s or _SILENCE_S) + _LAPSE_MARGIN_S
                wake = await self._watch.beyond(change, timeout_s=pause_s)
                look_every_s = min(_LOOK_EVERY_S, len(self) * _LOOK_EVERY_S_EACH)
                await asyncio.sleep(max(0.0, looked_at + look_every_s - loop.time()))
            for waiter in self._waiting():
                self._call(waiter, Turn.LAST)

    def _call_up(self, standing: Standing) -> None:
        """Call those who have something to come for; whoever tries at this moment may take one first."""
        waiting = self._waiting()
        n_trying = len(self._waiters) - len(waiting)
        self._n_left = max(0, standing.n_offered - n_trying)
        served = {held.client for held in standing.held.values()}
        for waiter in waiting:
            if standing.is_over:
                self._call(waiter, Turn.LAST)
            elif waiter.client in served:
                self._call(waiter, Turn.CALLED)
            elif self._n_left > 0:
                self._n_left -= 1
                self._call(waiter, Turn.CALLED)

    async def _tell_of_crowd(self, standing: Standing) -> None:
        """Tell the worker how many still wait, when they are many more than it can know of."""
        n_waiting = len(self._waiting())
        self._most_told = max(self._most_told, len(standing.held))
        if standing.gives and n_waiting > _MORE * self._most_told:
            self._most_told = n_waiting
            await self._tell(self._job_id, n_waiting)

    def _waiting(self) -> list[_Waiter]:
        return [waiter for waiter in self._waiters if waiter.is_waiting]

    def _call(self, waiter: _Waiter, turn: Turn) -> None:
        assert waiter.call is not None, "it waits"
        waiter.call.set_result(turn)

    def _fail(self, error: Exception) -> None:
        for waiter in self._waiting():
            assert waiter.call is not None, "it waits"
            waiter.call.set_exception(error)


class WaitingRoom:
    """One an API process. Belongs to its event loop."""

    def __init__(self, database: Database, notifier: Notifier, group_commit: GroupCommit) -> None:
        self._database = database
        self._notifier = notifier
        self._group_commit = group_commit
        self._looks: dict[str, asyncio.Task[Standing]] = {}
        self._queues: dict[str, _Queue] = {}

    @property
    def n_waiting(self) -> int:
        """How many clients wait for suggestions."""
        return sum(map(len, self._queues.values()))

    async def wait_for_suggestion(
        self, job_id: str, client: str, attempt: Callable[[Turn], Awaitable[T | None]], *, wait_s: float
    ) -> T:
        """Return what `attempt` returns, once it returns something.

        Args:
            client: what it has already, it is given at once.
            attempt: asks the database; None: there is nothing yet.
            wait_s: seconds after which it must.
        """
        deadline = _clock() + wait_s
        first = Turn.FIRST if wait_s > 0 else Turn.LAST
        if job_id not in self._queues and (answer := await attempt(first)) is not None:
            return answer
        queue = self._queues.get(job_id)
        if queue is None:
            queue = self._queues[job_id] = _Queue(job_id, self._notifier, self._look, self._tell)
        waiter = _Waiter(client)
        queue.add(waiter)
        try:
            while True:
                turn = await queue.turn(waiter, deadline - _clock())
                try:
                    answer = await attempt(turn)
                finally:
                    queue.back(waiter)
                if answer is not None:
                    return answer
        finally:
            queue.remove(waiter)
            if not queue and self._queues.get(job_id) is queue:
                del self._queues[job_id]

    async def wait_for_verdict(self, job_id: str, number: int, *, token: int, step: int, wait_s: float) -> None:
        """Wait until a step of a trial has been judged, or the trial is no longer the client's."""
        deadline = _clock() + wait_s
        with self._notifier.watch(job_id, eagerly=True) as watch:
            while (left_s := deadline - _clock()) > 0:
                standing = await self._look(job_id)
                held = standing.held.get(number)
                if held is None or held.token != token or (held.judged_step is not None and held.judged_step >= step):
                    return
                if await watch.beyond(standing.change, timeout_s=left_s) is Wake.END:
                    return

    async def _look(self, job_id: str) -> Standing:
        """Read how the job stands, together with whoever wants to know at the same time."""
        look = self._looks.get(job_id)
        if look is None:
            look = asyncio.create_task(run_in_threadpool(self._read, job_id))
            self._looks[job_id] = look
            look.add_done_callback(lambda _: self._looks.pop(job_id, None))
        return await asyncio.shield(look)

    async def _tell(self, job_id: str, n_clients: int) -> None:
        """Write down how many wait. Where that fails they wait no longer than if nobody had told."""

        def effect(connection: Connection) -> None:
            note_asking(connection, job_id, n_clients)

        with suppress(DatabaseError, JobNotFoundError):
            await self._group_commit.run(job_id, effect)

    def _read(self, job_id: str) -> Standing:
        with self._database.read() as connection:
            return read_standing(connection, job_id)


def _clock() -> float:
    return asyncio.get_running_loop().time()
