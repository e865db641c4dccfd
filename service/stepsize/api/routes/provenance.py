"""What a job's trials came from."""

from fastapi import APIRouter, Response

from stepsize.api.bodies import STRICT_QUERY
from stepsize.api.dependencies import AnySite, JobId, answer
from stepsize.api.provenance_schemas import ProvenanceOut
from stepsize.api.responses import ALWAYS, NOT_MODIFIED, problems
from stepsize.store.jobs import get_job
from stepsize.store.provenances import provenance_shares

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"], dependencies=STRICT_QUERY, responses=ALWAYS)


@router.get(
    "/provenance",
    response_model=ProvenanceOut,
    responses=NOT_MODIFIED | problems(404),
    summary="Read what the trials came from",
)
def provenance(job_id: JobId, site: AnySite) -> Response:
    """The code, the packages and the machines that a job's trials ran with, each once; a trial's `provenance` names
    one. `differences` compares them, field by field. Trials that never began, and those whose client says nothing, have
    none."""
    with site.database.read() as connection:
        job = get_job(connection, job_id)
        shares = provenance_shares(connection, job_id, project=job.project)
    return answer(ProvenanceOut.of(shares))
