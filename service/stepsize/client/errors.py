"""The client's errors.

ClientError
├── ApiError                the service refused; carries its problem document
├── ServerUnreachableError  nobody answers at this address, or something else does
│   └── ServerLateError     somebody is there, and hasn't answered in time
├── WaitTimeoutError        the job has not finished in the time given
└── WrongValueError         an argument that can't be what it is; nothing was sent
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
    """Nobody answers at this address; `mend` says what to do about it."""

    mend = "start one with `stepsize up`, or name its address with --server or STEPSIZE_SERVER"

    def __init__(self, base_url: str, reason: str) -> None:
        super().__init__(self._said(base_url, reason))
        self.base_url = base_url

    def _said(self, base_url: str, reason: str) -> str:
        return f"no Stepsize service answers at {base_url} ({reason})"


class ServerLateError(ServerUnreachableError):
    """Somebody is there, and has not answered in time."""

    mend = "it may be busy: ask again; `stepsize health` says how it is"

    def _said(self, base_url: str, reason: str) -> str:
        return f"the service at {base_url} has not answered in time ({reason})"


class WaitTimeoutError(ClientError, TimeoutError):
    """A job has not finished in the time given; `job` is how it stood then. It goes on."""

    def __init__(self, job: Job, timeout_s: float) -> None:
        super().__init__(f"job {job.id} has not finished within {timeout_s:g} s: it is {job.state}; it goes on")
        self.job = job


class WrongValueError(ClientError, ValueError):
    """An argument that can't be what it is; nothing was sent."""
