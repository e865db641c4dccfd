"""Ask and tell: suggestions, reports and completions of trials that run elsewhere.

These routes are `async`: who waits holds neither a thread nor a connection. Each look at the database is one short
transaction in a thread of its own.
"""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId, Post, TrialNumber, answer
from stepsize.api.responses import ALWAYS, POSTED
from stepsize.api.schemas import TrialOut
from stepsize.api.suggestion_schemas import (
    CompletionRequest,
    ReportsRequest,
    SuggestionRequest,
    SuggestionsOut,
    VerdictOut,
)
from stepsize.api.waiting_room import Turn
from stepsize.application import suggestions
from stepsize.application.suggestions import Asking, Suggestions, Told
from stepsize.store.database import Connection
from stepsize.store.suggestions import has_any
from stepsize.store.trials import get_trial

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["ask and tell"], dependencies=STRICT_QUERY, responses=ALWAYS)

_CLIENT_LEFT = 499
"""Nobody reads this status: the client has closed its connection."""


class _NothingYetError(Exception):
    """There is nothing to give, and the client would rather wait: its key is not used up."""


@router.post("/suggestions", response_model=SuggestionsOut, responses=POSTED, summary="Ask for trials to run")
async def suggest(job_id: JobId, wanted: SuggestionRequest, post: Post, request: Request) -> Response:
    """The same client asking again gets the trials it has, their leases renewed, topped up to `count`: a lost answer
    costs nothing. Where nothing is ready the answer waits `wait_s` for it, and then says why."""
    asking = wanted.asking()

    async def attempt(turn: Turn) -> Response | None:
        if await request.is_disconnected():  # a trial given to it would be lost until its lease runs out
            return Response(status_code=_CLIENT_LEFT)
        return await _ask(post, job_id, asking, turn)

    return await post.site.waiting_room.wait_for_suggestion(job_id, asking.client_id, attempt, wait_s=wanted.wait_s)


@router.post(
    "/trials/{number}/reports", response_model=VerdictOut, responses=POSTED, summary="Report and hear whether to stop"
)
async def report(job_id: JobId, number: TrialNumber, sent: ReportsRequest, post: Post) -> Response:
    """Renews the lease. Repeating a step with the same values changes nothing. The verdict covers what was reported
    before; with `wait_s` it covers these reports too."""
    response = await _record(post, job_id, number, sent)
    if sent.wait_s:
        step = await run_in_threadpool(_step_to_judge, post.site, job_id, sent)
        if step is not None:
            await post.site.waiting_room.wait_for_verdict(
                job_id, number, token=sent.lease_token, step=step, wait_s=sent.wait_s
            )
            response = await run_in_threadpool(_read_verdict, post.site, job_id, number, sent)
    return response


@router.post("/trials/{number}/complete", response_model=TrialOut, responses=POSTED, summary="Tell how a trial ended")
async def complete(job_id: JobId, number: TrialNumber, told: CompletionRequest, post: Post) -> Response:
    """Telling the same again changes nothing; telling something else is a conflict, and so is a token that is no longer
    the trial's (`lease-lost`): the newer owner's result stands. A trial that the pruner has ended stays `pruned`."""

    ended = Told(number, told.lease_token, told.ending())
    if post.key is None:
        return answer(TrialOut.of(await post.site.group_commit.run_together(job_id, suggestions.end_trials, ended)))

    def effect(connection: Connection) -> str:
        suggestions.end_trial(connection, job_id, ended)
        return job_id

    return await post.run_in_lane(
        job_id,
        effect,
        show=lambda connection, _, status: answer(TrialOut.of(get_trial(connection, job_id, number)), status),
    )


async def _ask(post: Post, job_id: str, asking: Asking, turn: Turn) -> Response | None:
    """Return what a client has, after giving it what is ready; None: nothing yet, and it may go on waiting."""
    if post.key is not None:
        return await _ask_once(post, job_id, asking, turn)
    site = post.site
    taken: Suggestions | None = None
    # Most likely it asks in vain, unless it is called: then it is not to wait for the job's lock.
    if turn is Turn.CALLED or await run_in_threadpool(has_any, site.database, job_id, asking.client_id):
        taken = await site.group_commit.run_together(job_id, suggestions.take_trials, asking)
    if taken is not None:
        return answer(SuggestionsOut.of(taken))
    return await run_in_threadpool(_answer_nothing, site, job_id, asking) if turn is Turn.LAST else None


async def _ask_once(post: Post, job_id: str, asking: Asking, turn: Turn) -> Response | None:
    """Do the same under an idempotency key."""
    taken: Suggestions | None = None

    def effect(connection: Connection) -> str:
        nonlocal taken
        (taken,) = suggestions.take_trials(connection, job_id, [asking])
        if taken is None and turn is not Turn.LAST:
            raise _NothingYetError
        return job_id

    def show(connection: Connection, _: str, status: int) -> Response:
        found = taken or _read_suggestions(post.site, connection, job_id, asking)
        return answer(SuggestionsOut.of(found), status)

    try:
        return await post.run_in_lane(job_id, effect, show=show)
    except _NothingYetError:
        return None


def _answer_nothing(site: AnySite, job_id: str, asking: Asking) -> Response:
    with site.database.read() as connection:
        return answer(SuggestionsOut.of(_read_suggestions(site, connection, job_id, asking)))


def _read_suggestions(site: AnySite, connection: Connection, job_id: str, asking: Asking) -> Suggestions:
    return suggestions.read_suggestions(connection, job_id, asking.client_id, lease_s=site.settings.lease_s)


async def _record(post: Post, job_id: str, number: int, sent: ReportsRequest) -> Response:
    def effect(connection: Connection) -> str:
        suggestions.add_reports(connection, job_id, number, token=sent.lease_token, measurements=sent.measurements())
        return job_id

    def show(connection: Connection, _: str, status: int) -> Response:
        return _verdict(connection, job_id, number, sent, status)

    return await post.run_in_lane(job_id, effect, show=show)


def _step_to_judge(site: AnySite, job_id: str, sent: ReportsRequest) -> int | None:
    with site.database.read() as connection:
        return suggestions.step_to_judge(connection, job_id, sent.measurements())


def _read_verdict(site: AnySite, job_id: str, number: int, sent: ReportsRequest) -> Response:
    with site.database.read() as connection:
        return _verdict(connection, job_id, number, sent, 200)


def _verdict(connection: Connection, job_id: str, number: int, sent: ReportsRequest, status: int) -> Response:
    found = suggestions.read_verdict(connection, job_id, number, token=sent.lease_token)
    return answer(VerdictOut.of(found), status)
