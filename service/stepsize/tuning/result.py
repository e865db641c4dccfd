"""What came out of a tuned function."""

from dataclasses import dataclass
from html import escape

from stepsize.client.answers import Job, JobAnswer, Trial, TrialSummary
from stepsize.client.display import job_html, job_line
from stepsize.client.http import Client
from stepsize.client.results import JobReport
from stepsize.client.rows import Rows


@dataclass(frozen=True, repr=False)
class TuneResult:
    """A finished search."""

    job: Job
    server: str
    """The address of the service that has its record."""

    @property
    def page(self) -> str:
        """The address of the job's page."""
        return job_page(self.server, self.job.id)

    @property
    def answer(self) -> JobAnswer | None:
        """Which learning rate to use and how sure that is; None where no `learning_rate` is searched."""
        return self.job.answer

    @property
    def best(self) -> TrialSummary | None:
        """The best trial, luck included; None where none completed, or with several objectives."""
        return self.job.best

    def report(self) -> JobReport:
        """Return the learning-rate report.

        Raises:
            ApiError: the service has none, for it lacks its extra `analysis`, or the job searches no rate.
        """
        with Client(self.server) as client:
            return client.report(self.job.id)

    def trials(self) -> Rows[Trial]:
        """Return the trials; `to_pandas()` and `to_polars()` make a table of them."""
        with Client(self.server) as client:
            trials = client.trials(self.job.id)
            len(trials)  # read while there is a connection
            return trials

    def __repr__(self) -> str:
        lines = [job_line(self.job)]
        if self.answer is not None:
            lines.append(self.answer.sentence)
        if self.best is not None:
            params = ", ".join(f"{name}={value!r}" for name, value in self.best.params.items())
            values = ", ".join(f"{name} {value:.4g}" for name, value in self.best.values.items())
            lines.append(f"best trial, luck included: {self.best.number}: {params}: {values}")
        return "\n  ".join([f"<TuneResult {lines[0]}", *lines[1:], self.page]) + ">"

    def _repr_html_(self) -> str:
        page = escape(self.page, quote=True)
        return f'{job_html(self.job)}<small><a href="{page}" target="_blank" rel="noopener">{page}</a></small>'


def job_page(server: str, job_id: str) -> str:
    """Return the address of a job's page."""
    return f"{server}/#/jobs/{job_id}"
