"""Results: the best trials, and their files."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from stepsize.api.best_schemas import BestTrialOut
from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, ArtifactName, JobId, answer
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, problems
from stepsize.api.schemas import PageOut
from stepsize.api.trial_files import FILE, send_file
from stepsize.application import files, results

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], dependencies=STRICT_QUERY, responses=ALWAYS)


@router.get(
    "/best",
    response_model=PageOut[BestTrialOut],
    responses=NOT_MODIFIED | problems(404, 409),
    summary="Read the best trials",
)
def best(
    job_id: JobId, site: AnySite, n: Annotated[int, Query(ge=1, le=500, description="How many, best first.")] = 1
) -> Response:
    """Completed trials. Those with two or more completed replicates go first, by the means of these; replicates
    themselves are left out. Empty until a trial has completed; 409 with several objectives and for a range test."""
    with site.database.read() as connection:
        found = results.best(connection, job_id, n=n)
    return answer(PageOut(items=[BestTrialOut.of_best(one) for one in found]))


@router.get(
    "/best/artifacts/{name:path}",
    response_class=FileResponse,
    responses=FILE | problems(404, 409),
    summary="Download the best trial's artifact",
)
def best_artifact(job_id: JobId, name: ArtifactName, site: AnySite) -> Response:
    with site.database.read() as connection:
        path = files.find_best_artifact(connection, site.settings.data_dir, job_id, name)
    return send_file(path, name)
