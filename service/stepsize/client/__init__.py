"""A typed HTTP client of the service; it needs only httpx and the spec models.

with Client("http://127.0.0.1:8000") as client:
    job = client.wait(client.submit({"trainer": {"name": "synthetic"}}).id)
    print(job.answer.sentence if job.answer else "no answer yet")
"""

from stepsize.client.answers import (
    Dataset,
    Estimate,
    Job,
    JobAnswer,
    Problem,
    Progress,
    Report,
    Trial,
    TrialSummary,
)
from stepsize.client.errors import ApiError, ClientError, ServerUnreachableError
from stepsize.client.events import Event
from stepsize.client.external import ExternalTrial
from stepsize.client.http import DEFAULT_SERVER, Client, Control
from stepsize.client.range_tests import RangeTest

__all__ = [
    "DEFAULT_SERVER",
    "ApiError",
    "Client",
    "ClientError",
    "Control",
    "Dataset",
    "Estimate",
    "Event",
    "ExternalTrial",
    "Job",
    "JobAnswer",
    "Problem",
    "Progress",
    "RangeTest",
    "Report",
    "ServerUnreachableError",
    "Trial",
    "TrialSummary",
]
