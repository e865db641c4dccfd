"""Every error the service raises on purpose, one class a reason, carrying data.

StepsizeError
├── NotFoundError
│   ├── JobNotFoundError
│   ├── TrialNotFoundError
│   ├── RangeTestNotFoundError
│   └── CatalogueEntryNotFoundError
├── ConflictError
│   ├── StateConflictError          the state says no
│   ├── IdempotencyConflictError    same key, other body
│   ├── DatasetConflictError        the name is taken
│   └── LeaseLostError              a stale token; the newer owner's word stands
├── AnalysisUnavailableError        the analysis process can't answer
├── SchemaAheadError                the database's tables are those of a later version
└── InvalidRequestError             the payload is wrong; names each field

HTTP statuses and titles live in one table, service/stepsize/api/problems.py.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

_Done = TypeVar("_Done")


class StepsizeError(Exception):
    """The root; catch it to catch everything the service refuses on purpose."""


class NotFoundError(StepsizeError):
    """No such thing."""


class JobNotFoundError(NotFoundError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id!r}")
        self.job_id = job_id


class TrialNotFoundError(NotFoundError):
    def __init__(self, job_id: str, number: int) -> None:
        super().__init__(f"job {job_id!r} has no trial {number}")
        self.job_id = job_id
        self.number = number


class RangeTestNotFoundError(NotFoundError):
    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no range test {job_id!r}")
        self.job_id = job_id


class CatalogueEntryNotFoundError(NotFoundError):
    """A name the catalogue doesn't have; `advice` says what may have been meant, or what there is."""

    def __init__(self, kind: str, name: str, known: Sequence[str], advice: str) -> None:
        super().__init__(f"there is no {kind} {name!r}; {advice}")
        self.kind = kind
        self.name = name
        self.known = list(known)


class ConflictError(StepsizeError):
    """The request is well formed but contradicts what is."""


class StateConflictError(ConflictError):
    """The job's or trial's state does not allow this."""

    def __init__(self, message: str, *, state: str) -> None:
        super().__init__(message)
        self.state = state


class IdempotencyConflictError(ConflictError):
    def __init__(self, key: str) -> None:
        super().__init__(f"the Idempotency-Key {key!r} was used with another body; use a new key for a new request")
        self.key = key


class DatasetConflictError(ConflictError):
    """The name of a data set is taken, or not a user's to remove."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name!r}: {message}")
        self.name = name


class LeaseLostError(ConflictError):
    """The writer's lease expired or was taken over: nothing was written."""

    def __init__(self, resource: str, token: int) -> None:
        super().__init__(f"the lease on {resource} with token {token} is no longer held; nothing was written")
        self.resource = resource
        self.token = token


class AnalysisUnavailableError(StepsizeError):
    """Reports and plots come from a process of their own, and it does not answer."""


class SchemaAheadError(StepsizeError):
    """The database's tables are at a revision that this version of Stepsize does not know."""

    def __init__(self, revision: str, *, here: str, needs: str | None) -> None:
        wanted = f"Stepsize {needs} or later" if needs else "a later Stepsize"
        super().__init__(
            f"the database is at revision {revision}, which this Stepsize {here} doesn't know; it needs {wanted}: "
            "install that, or name another database in STEPSIZE_DATABASE_URL"
        )
        self.revision = revision
        self.needs = needs


@dataclass(frozen=True)
class FieldError:
    """One wrong field: a JSON pointer (RFC 6901) and what to do about it."""

    pointer: str
    message: str


class InvalidRequestError(StepsizeError):
    """The payload is wrong."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.pointer}: {error.message}".removeprefix(": ") for error in errors))
        self.errors = list(errors)


class Gathered:
    """What several checks of one request have found wrong, so that all of it is named in one answer."""

    def __init__(self) -> None:
        self._errors: dict[FieldError, None] = {}

    @property
    def errors(self) -> list[FieldError]:
        """What has been found so far; what two checks say alike is said once."""
        return list(self._errors)

    def add(self, errors: Iterable[FieldError]) -> None:
        """Take in what is wrong."""
        self._errors |= dict.fromkeys(errors)

    def refuse(self) -> None:
        """Refuse the request if anything is wrong with it.

        Raises:
            InvalidRequestError: names each field that is wrong.
        """
        if self._errors:
            raise InvalidRequestError(self.errors)


def checked_beside(act: Callable[[], _Done], check: Callable[[], object]) -> _Done:
    """Do what a request asks for; if that or another check refuses it, say what both have found.

    Raises:
        InvalidRequestError: names each field that is wrong.
    """
    wrong, done = Gathered(), list[_Done]()
    for part in (lambda: done.append(act()), check):
        try:
            part()
        except InvalidRequestError as error:
            wrong.add(error.errors)
    wrong.refuse()
    return done[0]
