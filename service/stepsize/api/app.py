"""The ASGI application: `uvicorn --factory stepsize.api.app:create_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from stepsize import __version__
from stepsize.api.compression import Compression
from stepsize.api.dependencies import Site
from stepsize.api.feed import Feed
from stepsize.api.group_commit import GroupCommit
from stepsize.api.job_feed import JobFeed
from stepsize.api.metrics import Metrics, Stopwatch
from stepsize.api.middleware import BodyLimit, EntityTags, LastResort
from stepsize.api.notifier import Notifier
from stepsize.api.origins import Origins, own_names
from stepsize.api.problems import MEDIA_TYPE, install_problems
from stepsize.api.routes import (
    catalogue,
    curves,
    dashboard,
    datasets,
    documentation,
    events,
    exports,
    health,
    history,
    jobs,
    metrics,
    plots,
    provenance,
    range_tests,
    refits,
    reports,
    results,
    suggestions,
    trials,
    workers,
)
from stepsize.api.waiting_room import WaitingRoom
from stepsize.asking.analyst import Analyst
from stepsize.logs import configure_logs
from stepsize.settings import Settings
from stepsize.store.database import Database

_DESCRIPTION = """\
Post a tuning job, follow it, read the best trial. `{"trainer": {"name": "synthetic"}}` is a whole job: try it below.

Errors are problem documents (RFC 9457); with status 422 `errors` names each wrong field. Unknown fields and query
parameters are refused. Every POST takes an `Idempotency-Key`. GETs carry an `ETag`.
"""


_ROUTERS = (
    jobs.router,
    trials.router,
    suggestions.router,
    results.router,
    provenance.router,
    curves.router,
    exports.router,
    reports.router,
    plots.router,
    plots.schedule_router,
    history.router,
    range_tests.router,
    refits.router,
    events.router,
    catalogue.router,
    catalogue.preview_router,
    datasets.router,
    workers.router,
    health.router,
    metrics.router,
    dashboard.router,
    documentation.router,
)


def create_app(settings: Settings | None = None, *, listening_on: str | None = None) -> FastAPI:
    """Return the application.

    Args:
        settings: None (uvicorn's `--factory`): from the environment; logging is then set up too.
        listening_on: the host whose address it will listen on, one of the names it answers to; None: loopback.
    """
    if settings is None:
        settings = Settings()
        configure_logs(settings.log_level)
    app = FastAPI(
        title="Stepsize",
        version=__version__,
        description=_DESCRIPTION,
        redirect_slashes=False,
        docs_url=None,  # FastAPI's own pages load their scripts from the internet; ours is below
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.site = _make_site(settings)
    install_problems(app)
    for router in _ROUTERS:
        # Not `include_router`: FastAPI goes through what is included twice for each request and keeps notes at every
        # route it passes, a quarter of what an empty request cost. One list is gone through once.
        app.router.routes.extend(router.routes)
    # The last added is the outermost.
    app.add_middleware(EntityTags)
    app.add_middleware(Compression)
    uploads = {"/v1/datasets": settings.max_dataset_bytes}
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, uploads=uploads)
    app.add_middleware(Origins, names=own_names(settings.host_names, listening_on))
    app.add_middleware(LastResort)
    app.add_middleware(Stopwatch, metrics=app.state.site.metrics)
    _document_problems(app)
    return app


def _make_site(settings: Settings) -> Site:
    database = Database(settings.url)
    notifier = Notifier(database)
    feed = Feed(database, notifier, lease_s=settings.lease_s)
    job_feed = JobFeed(database, lease_s=settings.lease_s)
    group_commit = GroupCommit(database)
    waiting_room = WaitingRoom(database, notifier, group_commit)
    metrics = Metrics()
    metrics.watch(
        streams={"one_job": lambda: feed.n_open, "all_jobs": lambda: job_feed.n_open},
        waiters=lambda: waiting_room.n_waiting,
    )
    return Site(
        settings,
        database,
        notifier,
        feed,
        job_feed,
        waiting_room,
        group_commit,
        Analyst(settings.url),
        metrics,
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    site: Site = app.state.site
    await run_in_threadpool(site.analyst.close)
    await run_in_threadpool(site.notifier.close)
    site.database.dispose()


def _document_problems(app: FastAPI) -> None:
    """Say in /openapi.json that errors have a media type of their own; FastAPI has no word for that."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for operations in make()["paths"].values():
                for operation in operations.values():
                    _rename_problems(operation["responses"])
        assert app.openapi_schema is not None, "made above"
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents


def _rename_problems(responses: dict[str, Any]) -> None:
    for response in responses.values():
        content = response.get("content", {})
        for media_type, described in list(content.items()):
            if described.get("schema", {}).get("$ref") == "#/components/schemas/Problem":
                del content[media_type]
                content[MEDIA_TYPE] = described
