"""Which answers an endpoint documents beside its success."""

from typing import Any

from stepsize.api.schemas import Problem

_DESCRIPTIONS = {
    304: "Not modified: what `If-None-Match` names is current",
    404: "No such thing",
    406: "`Accept` takes none of the forms there are",
    409: "The state says no",
    413: "The body is too large",
    421: "Listening on loopback, and `Host` names something else",
    422: "The request is wrong; `errors` names each field",
    500: "Something went wrong in the service",
    503: "The database does not answer",
}

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """Return the `responses=` of an endpoint that may answer with these errors."""
    return {status: {"model": Problem, "description": _DESCRIPTIONS[status]} for status in statuses}


NOT_MODIFIED: Responses = {304: {"description": _DESCRIPTIONS[304]}}
ALWAYS = problems(421, 422, 500, 503)
"""Any endpoint under /v1."""
POSTED = problems(404, 409, 413)
"""Any POST to something that exists."""
