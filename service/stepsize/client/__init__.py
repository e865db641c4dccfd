"""A typed HTTP client of the service; it needs only httpx and the spec models.

with Client("http://127.0.0.1:8000") as client:
    job = client.wait(client.submit({"trainer": {"name": "synthetic"}}).id)
    print(job.answer.sentence if job.answer else "no answer yet")
"""

from stepsize.client.answers import (
    Answer,
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
from stepsize.client.async_http import AsyncClient
from stepsize.client.calls.jobs import Control
from stepsize.client.calls.results import ImageFormat, PlotKind, Theme
from stepsize.client.catalogue import SpecEntry, TrainerEntry, Worker
from stepsize.client.errors import (
    ApiError,
    ClientError,
    ServerLateError,
    ServerUnreachableError,
    WaitTimeoutError,
    WrongValueError,
)
from stepsize.client.events import Event
from stepsize.client.external import ExternalTrial
from stepsize.client.files import ExportFormat, export_format
from stepsize.client.http import Client
from stepsize.client.provenance import JobProvenance, Provenance
from stepsize.client.range_tests import RangeTest
from stepsize.client.results import JobReport, JobsReport
from stepsize.client.transport import DEFAULT_SERVER

__all__ = [
    "DEFAULT_SERVER",
    "Answer",
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "Control",
    "Dataset",
    "Estimate",
    "Event",
    "ExportFormat",
    "ExternalTrial",
    "ImageFormat",
    "Job",
    "JobAnswer",
    "JobProvenance",
    "JobReport",
    "JobsReport",
    "PlotKind",
    "Problem",
    "Progress",
    "Provenance",
    "RangeTest",
    "Report",
    "ServerLateError",
    "ServerUnreachableError",
    "SpecEntry",
    "Theme",
    "TrainerEntry",
    "Trial",
    "TrialSummary",
    "WaitTimeoutError",
    "Worker",
    "WrongValueError",
    "export_format",
]
