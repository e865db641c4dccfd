"""What the first worker to take a tuning job settles before it searches: bounds from a range test, and history."""

from collections.abc import Iterable
from dataclasses import dataclass

from stepsize.domain.job import Job, JobKind
from stepsize.domain.range_test import RangeTestFindings
from stepsize.domain.trial import TrialState
from stepsize.domain.tuning import TuningFindings
from stepsize.errors import JobNotFoundError
from stepsize.spec.range_test import RangeTestSpec
from stepsize.spec.resolved import recall
from stepsize.spec.space import FloatParameter, SearchSpace
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.trials import load_trials
from stepsize_workers.range_tests import Bounds, bounds_from
from stepsize_workers.warm_start import WARNING, load_history

_LEARNING_RATE = "learning_rate"


@dataclass(frozen=True)
class Preparation:
    """What is to be written to a job before its search begins."""

    findings: TuningFindings
    warnings: tuple[str, ...]


def prepare(connection: Connection, job: Job) -> Preparation | None:
    """Return what is still to be settled of a job; None: nothing."""
    if job.kind is not JobKind.TUNE or job.findings is not None:
        return None
    warnings: list[str] = []
    space = job.spec.search_space
    found = _with_bounds(connection, job, space, warnings)
    resolved = found.search_space
    if job.tuning_details.warm_start and not _is_told(job.warnings):
        warnings.append(load_history(connection, job, resolved or space).summary())
    if resolved is None and not warnings:
        return None
    return Preparation(found, (*job.warnings, *warnings))


def _is_told(warnings: Iterable[str]) -> bool:
    return any(warning.startswith(WARNING) for warning in warnings)


def _with_bounds(connection: Connection, job: Job, space: SearchSpace, warnings: list[str]) -> TuningFindings:
    """Return the search space with the bounds a range test found, and which are soft; nothing where none had to be."""
    parameter = space.get(_LEARNING_RATE)
    if not isinstance(parameter, FloatParameter) or not parameter.range_test:
        return TuningFindings()
    bounds = _find_bounds(connection, job)
    warnings += bounds.warnings
    asked_for = _asked_for(connection, job)
    update = {
        # A sweep may go below where it was told to begin, but the search keeps to what the client said. Only a
        # configuration of a client's own may lie outside; the search must be able to hold it.
        "low": min([max(bounds.low, parameter.low or 0.0), *asked_for]),
        "high": max([bounds.high, *asked_for]),
        "log": True,
        "range_test": False,
    }
    soft = [
        edge
        for edge in bounds.found
        if getattr(parameter, edge) is None and update[edge.value] == getattr(bounds, edge)
    ]
    return TuningFindings(search_space={**space, _LEARNING_RATE: parameter.model_copy(update=update)}, soft=soft)


def _find_bounds(connection: Connection, job: Job) -> Bounds:
    default = job.tuning_details.default_learning_rate
    plan, findings = RangeTestSpec.model_fields, None
    low, high = plan["low"].default, plan["high"].default
    try:
        test = get_job(connection, job.waits_for or "", project=job.project)
    except JobNotFoundError:  # deleted since
        test = None
    if test is not None:
        swept = recall(RangeTestSpec, test.details)
        low, high = swept.low, swept.high
        findings = test.findings and RangeTestFindings.model_validate(test.findings)
    return bounds_from(findings or RangeTestFindings(sweep_low=low, sweep_high=high, results=[]), default=default)


def _asked_for(connection: Connection, job: Job) -> list[float]:
    """Return the learning rates of configurations that clients have enqueued."""
    queued = load_trials(connection, job.id, [TrialState.QUEUED])
    return [float(trial.params[_LEARNING_RATE]) for trial in queued if _LEARNING_RATE in trial.params]
