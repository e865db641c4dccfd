"""Data sets: list, read, upload, remove."""

from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool

from stepsize.api.bodies import STRICT_QUERY, known_query
from stepsize.api.dependencies import AnySite, Key, Site, answer
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, problems
from stepsize.api.schemas import PageOut
from stepsize.application import datasets
from stepsize.datasets.cards import NAME, DatasetCard, DatasetFormat, TargetKind
from stepsize.datasets.uploads import NewDataset, incoming

router = APIRouter(prefix="/v1/datasets", tags=["data sets"], responses=ALWAYS)

Name = Annotated[str, PathParameter(pattern=NAME, examples=["digits"])]
_WRITE_BYTES = 1 << 20
_BODY: dict[str, Any] = {
    "requestBody": {
        "description": "The file itself: .npz with x and y, CSV, Parquet, or a .zip of <class>/<image>.png.",
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get(
    "",
    response_model=PageOut[DatasetCard],
    responses=NOT_MODIFIED,
    dependencies=STRICT_QUERY,
    summary="List data sets",
)
def list_datasets(site: AnySite) -> Response:
    """The built-in ones, then those placed in `datasets/` of the data directory or uploaded."""
    found = datasets.list_datasets(site.settings.data_dir, max_bytes=site.settings.max_dataset_bytes)
    return answer(PageOut(items=found))


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=DatasetCard,
    responses=problems(409, 413),
    # Not `strict_body`: it would hold the whole upload in memory.
    dependencies=[Depends(known_query)],
    openapi_extra=_BODY,
    summary="Upload a data set",
)
async def upload_dataset(
    request: Request,
    site: AnySite,
    name: Annotated[str, Query(pattern=NAME, description="What jobs call it.", examples=["flowers"])],
    format: Annotated[  # noqa: A002 - the contract's word
        Literal["npz", "csv", "parquet", "images"], Query(description="`images` is a .zip of one folder a class.")
    ],
    target: Annotated[
        str | None,
        Query(pattern=r"^[^\x00]{1,200}$", description="The column to predict; left out: target, label, or the last."),
    ] = None,
    target_kind: Annotated[
        TargetKind | None,
        Query(description="What the target is, where its values leave doubt: whole numbers may be either."),
    ] = None,
    help: Annotated[  # noqa: A002 - the contract's word
        str, Query(pattern=r"^[^\x00]{0,200}$", description="One line for the catalogue.")
    ] = "",
    key: Key = None,
) -> Response:
    """Uploading the same content under the same name again changes nothing; other content is refused (409).

    `curl -T wine.csv 'localhost:8000/v1/datasets?name=wine&format=csv&target=quality' -X POST`
    """
    new = NewDataset(name, DatasetFormat(format), target, target_kind, help)
    return await _receive(request, site, new)


@router.get(
    "/{name}",
    response_model=DatasetCard,
    responses=NOT_MODIFIED | problems(404),
    dependencies=STRICT_QUERY,
    summary="Read a data set's description",
)
def read_dataset(name: Name, site: AnySite) -> Response:
    return answer(
        datasets.read_dataset(site.settings.data_dir, name, max_bytes=site.settings.max_dataset_bytes),
    )


@router.delete(
    "/{name}",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    responses=problems(404, 409),
    dependencies=STRICT_QUERY,
    summary="Remove a data set",
)
def delete_dataset(name: Name, site: AnySite) -> Response:
    """Jobs that still want it fail; trials keep the hash of what they were trained on."""
    datasets.delete_dataset(site.settings.data_dir, name)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _receive(request: Request, site: Site, new: NewDataset) -> Response:
    data_dir, max_bytes = site.settings.data_dir, site.settings.max_dataset_bytes
    with incoming(data_dir) as path:
        await _write_body(request, path)
        card = await run_in_threadpool(datasets.receive, data_dir, new, path, max_bytes=max_bytes)
    return answer(card, HTTPStatus.CREATED, {"Location": f"/v1/datasets/{new.name}"})


async def _write_body(request: Request, path: Path) -> None:
    """Write a body to a file, a MiB at a time: the disk is waited for in a thread, and memory stays small."""
    buffer = bytearray()
    with path.open("wb") as file:
        async for chunk in request.stream():
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                await run_in_threadpool(file.write, bytes(buffer))
                buffer.clear()
        await run_in_threadpool(file.write, bytes(buffer))
