"""The client's errors.

ClientError
├── ApiError                the service refused; carries its problem document
└── ServerUnreachableError  nobody answers at this address, or something else does
"""

from service.client.answers import Problem


class ClientError(Exception):
    """The root of the client's errors."""


class ApiError(ClientError):
    """The service refused; `problem` says why, and its text names each wrong field."""

    def __init__(self, problem: Problem) -> None:
        lines = [f"{problem.title} ({problem.status})" + (f": {problem.detail}" if problem.detail else "")]
        lines += [f"  {error.pointer or '/'}: {error.message}" for error in problem.errors]
        super().__init__("\n".join(lines))
        self.problem = problem


class ServerUnreachableError(ClientError):
    """Nobody answers at this address."""

    def __init__(self, base_url: str, reason: str) -> None:
        super().__init__(f"no Stepsize service answers at {base_url} ({reason})")
        self.base_url = base_url
