"""The methods both clients have: each description of a call, made into one.

`Client` sends a call and returns its value, `AsyncClient` returns what gives the value once it is awaited. Both take
name, arguments and docstring from the description.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Generic, ParamSpec, TypeVar, overload

from stepsize.client.answers import Answer
from stepsize.client.async_connection import AsyncConnection
from stepsize.client.calls import catalogue as catalogue_calls
from stepsize.client.calls import jobs as job_calls
from stepsize.client.calls import results as result_calls
from stepsize.client.calls import trials as trial_calls
from stepsize.client.calls.base import Call, Listing
from stepsize.client.calls.kinds import of_its_kind
from stepsize.client.connection import Connection
from stepsize.client.rows import AsyncRows, Rows
from stepsize.spec.arguments import says_what_it_takes

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=Answer)


class _Connected:
    """What speaks to the service at one address."""

    _connection: Connection | AsyncConnection

    @property
    def base_url(self) -> str:
        """Where the service is."""
        return self._connection.base_url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.base_url}>"


class Now(_Connected):
    """Whose calls return what was asked for."""

    _connection: Connection


class Later(_Connected):
    """Whose calls are awaited."""

    _connection: AsyncConnection


class _Operation(Generic[P, R]):
    """A call as a method."""

    def __init__(self, describe: Callable[P, Call[R]]) -> None:
        self._describe = says_what_it_takes()(of_its_kind(describe))
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Callable[P, Call[R]]: ...
    @overload
    def __get__(self, client: Now, owner: type) -> Callable[P, R]: ...
    @overload
    def __get__(self, client: Later, owner: type) -> Callable[P, Awaitable[R]]: ...
    def __get__(self, client: Now | Later | None, owner: type) -> Callable[P, Call[R] | R | Awaitable[R]]:
        if client is None:
            return self._describe
        describe, send = self._describe, client._connection.send

        @wraps(describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> R | Awaitable[R]:
            return send(describe(*args, **kwargs))

        return method


class _Listing(Generic[P, A]):
    """A list as a method."""

    def __init__(self, describe: Callable[P, Listing[A]]) -> None:
        self._describe = says_what_it_takes()(of_its_kind(describe))
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Callable[P, Listing[A]]: ...
    @overload
    def __get__(self, client: Now, owner: type) -> Callable[P, Rows[A]]: ...
    @overload
    def __get__(self, client: Later, owner: type) -> Callable[P, AsyncRows[A]]: ...
    def __get__(self, client: Now | Later | None, owner: type) -> Callable[P, Listing[A] | Rows[A] | AsyncRows[A]]:
        if client is None:
            return self._describe
        describe, connection = self._describe, client._connection

        @wraps(describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> Rows[A] | AsyncRows[A]:
            listing = describe(*args, **kwargs)
            if isinstance(connection, Connection):
                return Rows(connection.items(listing))
            return AsyncRows(connection.items(listing))

        return method


class Operations:
    """Every call that is one request, or one list."""

    submit = _Operation(job_calls.submit)
    dry_run = _Operation(job_calls.dry_run)
    job = _Operation(job_calls.job)
    jobs = _Listing(job_calls.jobs)
    change_job = _Operation(job_calls.change_job)
    delete_job = _Operation(job_calls.delete_job)
    control = _Operation(job_calls.control)
    refit = _Operation(job_calls.refit)
    range_test = _Operation(job_calls.range_test)
    read_range_test = _Operation(job_calls.read_range_test)

    trials = _Listing(trial_calls.trials)
    all_trials = _Listing(trial_calls.all_trials)
    trial = _Operation(trial_calls.trial)
    enqueue = _Operation(trial_calls.enqueue)
    cancel_trial = _Operation(trial_calls.cancel_trial)
    retry_trial = _Operation(trial_calls.retry_trial)
    reports = _Listing(trial_calls.reports)
    log = _Operation(trial_calls.log)
    artifact = _Operation(trial_calls.artifact)
    suggest = _Operation(trial_calls.suggest)
    report_trial = _Operation(trial_calls.report_trial)
    complete_trial = _Operation(trial_calls.complete_trial)

    best = _Operation(result_calls.best)
    best_artifact = _Operation(result_calls.best_artifact)
    pareto = _Operation(result_calls.pareto)
    report = _Operation(result_calls.report)
    report_text = _Operation(result_calls.report_text)
    compare = _Operation(result_calls.compare)
    compare_text = _Operation(result_calls.compare_text)
    importances = _Operation(result_calls.importances)
    history = _Operation(result_calls.history)
    curves = _Operation(result_calls.curves)
    plot = _Operation(result_calls.plot)
    plot_range_test = _Operation(result_calls.plot_range_test)

    trainers = _Operation(catalogue_calls.trainers)
    samplers = _Operation(catalogue_calls.samplers)
    pruners = _Operation(catalogue_calls.pruners)
    optimizers = _Operation(catalogue_calls.optimizers)
    schedules = _Operation(catalogue_calls.schedules)
    preview_schedule = _Operation(catalogue_calls.preview_schedule)
    plot_schedule = _Operation(catalogue_calls.plot_schedule)
    datasets = _Operation(catalogue_calls.datasets)
    dataset = _Operation(catalogue_calls.dataset)
    delete_dataset = _Operation(catalogue_calls.delete_dataset)
    workers = _Operation(catalogue_calls.workers)
    provenance = _Operation(result_calls.provenance)
    is_alive = _Operation(catalogue_calls.is_alive)
    metrics = _Operation(catalogue_calls.metrics)
    is_ready = _Operation(catalogue_calls.is_ready)
