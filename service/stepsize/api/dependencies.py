"""What routes are given: the site, pages, ids, and the unit of work of a POST."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, StringConstraints

from stepsize.api.bodies import BodyHash
from stepsize.api.feed import Feed
from stepsize.api.group_commit import GroupCommit
from stepsize.api.job_feed import JobFeed
from stepsize.api.metrics import Metrics
from stepsize.api.notifier import Notifier
from stepsize.api.recent import Recent
from stepsize.api.rendered import Rendered
from stepsize.api.waiting_room import WaitingRoom
from stepsize.asking.analyst import Analyst
from stepsize.domain.said import LONGEST_PATH
from stepsize.settings import Settings
from stepsize.store.database import Connection, Database
from stepsize.store.idempotency import Outcome, RequestKey, record_outcome, reserve_key
from stepsize.store.jobs import pick_stage
from stepsize.store.trial_index import TrialIndex

# Declared as JSON Schema patterns: /openapi.json says them too.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=2000)]
JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["job_019a4f1c2b3d4e5f"])]
TrialNumber = Annotated[int, Path(ge=0, lt=2**31, description="The trial's number within its job.")]
ArtifactName = Annotated[
    str,
    Path(
        min_length=1,
        max_length=LONGEST_PATH,
        description="A name among the trial's `artifacts`; of a file in a folder its path.",
        examples=["model.safetensors"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=500, description="Most items in a page.")]
PageToken = Annotated[
    str | None,
    Query(max_length=4000, description="`next_page_token` of the page before; left out for the first page."),
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Repeating a POST with its key and body within 24 hours has no second effect.",
    ),
]


@dataclass(frozen=True)
class Site:
    """What one API process shares among its requests."""

    settings: Settings
    database: Database
    notifier: Notifier
    feed: Feed
    job_feed: JobFeed
    waiting_room: WaitingRoom
    group_commit: GroupCommit
    analyst: Analyst
    metrics: Metrics
    rendered: Rendered = field(default_factory=Rendered)
    recent: Recent = field(default_factory=Recent)
    index: TrialIndex = field(default_factory=TrialIndex)
    computing: threading.Lock = field(default_factory=threading.Lock)
    """Held by what computes for milliseconds: such threads take turns at Python's lock anyway, and a poll would have to
    wait for each of them instead of for one."""


async def site_of(request: Request) -> Site:
    """Return the process's site; `async`, for FastAPI hands every plain dependency to a thread, 0.1 ms each."""
    site: Site = request.app.state.site
    return site


AnySite = Annotated[Site, Depends(site_of)]


def answer(model: BaseModel, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    """Return a model as a JSON response.

    Routes answer with a Response of their own: what they return is then complete before their transaction commits,
    and FastAPI needs no second thread to make it, for which it might have to wait while the transaction is open.
    """
    return Response(model.model_dump_json().encode(), status, headers, media_type="application/json")


def recent_answer(
    site: Site, job_id: str, key: Hashable, make: Callable[[Connection], tuple[BaseModel, int]]
) -> Response:
    """Return an answer about a job that many ask for at once; while the job runs, up to some seconds old.

    Args:
        key: names the question.
        make: answers it, and tells the job's change it was read at.

    Raises:
        JobNotFoundError: no such job.
    """

    def make_body() -> tuple[bytes, int]:
        with site.computing, site.database.read() as connection:
            model, change = make(connection)
            return model.model_dump_json().encode(), change

    stage = pick_stage(site.database, job_id)
    kept = site.recent.get((key, job_id), stage.change, make_body, is_settled=stage.state.is_finished)
    return Response(kept.body, media_type="application/json")


@dataclass(frozen=True)
class Posting:
    """The unit of work of a POST: one transaction that holds the effect, its idempotency key, and the answer.

    It is committed before the answer is sent, so that a failing commit is a 500 and never a 201. It opens and closes
    within the route's own thread; a dependency that opened it would hold a connection, or SQLite's write lock, while
    the route waits for one of the 40 threads that others, waiting for that lock, occupy.
    """

    site: Site
    key: RequestKey | None

    def run(
        self,
        effect: Callable[[Connection], str],
        *,
        show: Callable[[Connection, str, int], Response],
        status: int = HTTPStatus.OK,
    ) -> Response:
        """Do something once and answer with the resource as it is now.

        Args:
            effect: does it and names the resource.
            show: makes the answer from the resource's name and the status.
        """
        with self.site.database.write() as connection:
            return self._act(connection, effect, show, status)

    async def run_in_lane(
        self, lane: str, effect: Callable[[Connection], str], *, show: Callable[[Connection, str, int], Response]
    ) -> Response:
        """Do the same where many write to the same thing at once: their writes are committed together.

        Args:
            lane: names what they write to.
            effect: see `run`.
            show: see `run`.
        """
        return await self.site.group_commit.run(
            lane, lambda connection: self._act(connection, effect, show, HTTPStatus.OK)
        )

    def _act(
        self,
        connection: Connection,
        effect: Callable[[Connection], str],
        show: Callable[[Connection, str, int], Response],
        status: int,
    ) -> Response:
        outcome = None if self.key is None else reserve_key(connection, self.key)
        if outcome is None:
            outcome = Outcome(status, effect(connection))
            if self.key is not None:
                record_outcome(connection, self.key, outcome)
        return show(connection, outcome.resource, outcome.status)


async def posting(request: Request, site: AnySite, body_hash: BodyHash, key: Key = None) -> Posting:
    """Return the unit of work of this POST."""
    scope = f"{request.method} {request.url.path}"
    return Posting(site, None if key is None else RequestKey(scope, key, body_hash))


Post = Annotated[Posting, Depends(posting)]
