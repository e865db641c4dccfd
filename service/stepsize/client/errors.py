"""The client's errors.

ClientError
├── ApiError                the service refused; carries its problem document
├── ServerUnreachableError  nobody answers at this address, or something else does
└── WaitTimeoutError        the job has not finished in the time given
"""

from stepsize.client.answers import Job, Problem


class ClientError(Exception):
    """The root of the client's errors."""


class ApiError(ClientError):
    """The service refused; `problem` says why, and its text names each wrong field."""

    def __init__(self, problem: Problem) -> None:
        headline = f"{problem.title} ({problem.status})"
        if problem.errors:  # `detail` would say the same in one long line
            text = "\n".join([headline, *(f"  {error.pointer or '/'}: {error.message}" for error in problem.errors)])
        else:
            text = f"{headline}: {problem.detail}" if problem.detail else headline
        if problem.correlation_id:
            text += f"\n  the service's log says more under {problem.correlation_id}"
        super().__init__(text)
        self.problem = problem


class ServerUnreachableError(ClientError):
    """Nobody answers at this address."""

    def __init__(self, base_url: str, reason: str) -> None:
        super().__init__(f"no Stepsize service answers at {base_url} ({reason})")
        self.base_url = base_url


class WaitTimeoutError(ClientError, TimeoutError):
    """A job has not finished in the time given; `job` is how it stood then. It goes on."""

    def __init__(self, job: Job, timeout_s: float) -> None:
        super().__init__(f"job {job.id} has not finished within {timeout_s:g} s: it is {job.state}; it goes on")
        self.job = job
