"""What the analysis process can be asked. Questions travel over a pipe: plain, frozen, hashable, and free of numpy."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

PlotKind = Literal["history", "curves", "slice", "heatmap", "importances", "range_test", "sensitivity", "pareto"]
PlotFormat = Literal["svg", "png"]
Theme = Literal["light", "dark"]


class Rendering(StrEnum):
    """Media types of a report."""

    JSON = "application/json"
    MARKDOWN = "text/markdown"
    HTML = "text/html"


@dataclass(frozen=True)
class ReportQuestion:
    """The report of one job, or of several beside each other."""

    job_ids: tuple[str, ...]
    rendering: Rendering = Rendering.JSON
    compare: bool = False
    as_finished: bool = False
    """Whether to speak of jobs as finished: asked by whoever is about to finish one."""


@dataclass(frozen=True)
class ImportancesQuestion:
    job_id: str

    @property
    def job_ids(self) -> tuple[str, ...]:
        return (self.job_id,)


@dataclass(frozen=True)
class PlotQuestion:
    job_id: str
    kind: PlotKind
    format: PlotFormat
    theme: Theme = "light"

    @property
    def job_ids(self) -> tuple[str, ...]:
        return (self.job_id,)


@dataclass(frozen=True)
class SchedulePlotQuestion:
    """A learning rate schedule; needs no job."""

    title: str
    steps: tuple[int, ...]
    learning_rates: tuple[float, ...]
    format: PlotFormat
    theme: Theme = "light"
    job_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportQuestion:
    """A job as a file of a format that needs libraries, written to `path`; the answer is empty."""

    job_id: str
    format: Literal["optuna", "parquet"]
    rows: Literal["trials", "reports"]
    path: str

    @property
    def job_ids(self) -> tuple[str, ...]:
        return (self.job_id,)


Question = ReportQuestion | ImportancesQuestion | PlotQuestion | SchedulePlotQuestion | ExportQuestion


@dataclass(frozen=True)
class Reply:
    """An answer, and the changes of the jobs it was read at."""

    body: bytes
    changes: tuple[int, ...]


@dataclass(frozen=True)
class Failure:
    """The analysis process could not answer; the text is for the log."""

    error: str
    is_missing: str | None = None
    """The id of a job that is gone."""
