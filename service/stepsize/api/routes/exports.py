"""Export: everything a job has recorded, as a file."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, assert_never

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId, Site
from stepsize.api.responses import ALWAYS, problems
from stepsize.api.routes.reports import JobChange
from stepsize.application.exports import Rows, iter_csv, iter_jsonl
from stepsize.asking.questions import ExportQuestion

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], dependencies=STRICT_QUERY, responses=ALWAYS)

ExportFormat = Literal["csv", "jsonl", "parquet", "optuna"]

_making = CapacityLimiter(1)

_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": {
            "text/csv": _TEXT,
            "application/jsonl": _TEXT,
            "application/vnd.apache.parquet": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}
_MEDIA_TYPES: dict[ExportFormat, str] = {
    "csv": "text/csv",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
    "optuna": "application/octet-stream",
}


@router.get("/export", response_class=Response, responses=_FILE | problems(404), summary="Export a job as a file")
async def export(
    job_id: JobId,
    changes: JobChange,
    site: AnySite,
    file_format: Annotated[
        ExportFormat,
        Query(alias="format", description="`optuna`: a journal file for `optuna.load_study` and optuna-dashboard."),
    ] = "csv",
    rows: Annotated[Rows, Query(description="One row a trial, or one a report; an Optuna file has both.")] = "trials",
) -> Response:
    """CSV and JSON lines are streamed. Parameters are columns `params.NAME`, metrics `values.NAME`, the provenance
    `ran_with.NAME` (objects in JSON).

    Open an Optuna file `F` with `optuna.load_study(study_name=JOB, storage=JournalStorage(JournalFileBackend(F)))`, or
    `optuna-dashboard F`. Diverged and other infeasible trials are FAIL there; powers of two are exponents, as searched.
    """
    media_type = _MEDIA_TYPES[file_format]
    match file_format:
        case "csv":
            lines = iter_csv(site.database, job_id, rows)
            return StreamingResponse(
                _one_at_a_time(lines), media_type=media_type, headers=_named(f"{job_id}-{rows}.csv")
            )
        case "jsonl":
            lines = iter_jsonl(site.database, job_id, rows)
            return StreamingResponse(
                _one_at_a_time(lines), media_type=media_type, headers=_named(f"{job_id}-{rows}.jsonl")
            )
        case "parquet":
            path = await _written(site, job_id, "parquet", rows, changes)
            return _file(path, f"{job_id}-{rows}.parquet", media_type)
        case "optuna":
            path = await _written(site, job_id, "optuna", rows, changes)
            return _file(path, f"{job_id}-optuna.log", media_type)
        case _:
            assert_never(file_format)


async def _one_at_a_time(parts: Iterator[str]) -> AsyncIterator[str]:
    """Make the next part of an export when its client has taken the last one, and one export's at a time.

    Thirty at once would share one interpreter's lock with everybody else's answers for as long as they take.
    """
    while (part := await to_thread.run_sync(next, parts, None, limiter=_making)) is not None:
        yield part


async def _written(
    site: Site, job_id: str, file_format: Literal["parquet", "optuna"], rows: Rows, changes: tuple[int, ...]
) -> Path:
    """Let the analysis process write the file and return its path."""
    path = await run_in_threadpool(_new_path)
    try:
        await site.analyst.ask(ExportQuestion(job_id, file_format, rows, str(path)), changes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _new_path() -> Path:
    with tempfile.NamedTemporaryFile(prefix="stepsize-export-", delete=False) as file:
        return Path(file.name)


def _file(path: Path, name: str, media_type: str) -> Response:
    return FileResponse(
        path, media_type=media_type, filename=name, background=BackgroundTask(path.unlink, missing_ok=True)
    )


def _named(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
