"""What can go wrong around a tuned function; what goes wrong inside it fails its trial.

TuneError
├── NameTakenError       the job of this name searches something else
├── ServiceStartError    no service could be started for it
└── TrainingFailedError  too many trials failed, or all of them
"""

from collections.abc import Sequence

from stepsize.client.errors import ClientError


class TuneError(ClientError):
    """The root of them."""


class NameTakenError(TuneError, ValueError):
    """There is a job of this name, and it searches something else."""

    def __init__(self, name: str, job_id: str, differences: Sequence[str]) -> None:
        super().__init__(
            f"{name!r} is the name of job {job_id}, which is about something else:\n"
            + "\n".join(f"  {line}" for line in differences)
            + f"\ngive this one another name=, or forget that one: stepsize delete {job_id}"
        )
        self.job_id = job_id


class ServiceStartError(TuneError):
    """No service could be started on the directory."""


class TrainingFailedError(TuneError):
    """Too many trials failed for the job to go on, or all of them."""
