"""Moves the soft bounds of a job's search: decided from the record, written to it, and only then searched."""

from collections.abc import Sequence

from stepsize.domain.job import Job, JobKind
from stepsize.domain.soft_bounds import MOST_STEPS, Edge, Widening, find_widening, first_ended, next_decision
from stepsize.domain.trial import Trial, TrialState
from stepsize.domain.tuning import TuningFindings
from stepsize.spec.objective import Direction
from stepsize.spec.space import FloatParameter, SearchSpace
from stepsize_workers.held_job import HeldJob

_RATE = "learning_rate"
_COUNTED = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.INFEASIBLE, TrialState.FAILED)


def widen(held: HeldJob) -> bool:
    """Make the decisions about the job's soft bounds that have fallen due.

    Must be called before anything is proposed after a trial's end, or a job that changes hands would go other ways.

    Returns:
        Whether the search space has changed: the search is to be rebuilt.
    """
    has_changed = False
    while (at := _due(held.job)) is not None:
        has_changed |= _decide(held, at)
    return has_changed


def _due(job: Job) -> int | None:
    if job.kind is not JobKind.TUNE or job.findings is None:
        return None
    findings = job.tuning_findings
    if not findings.soft or findings.search_space is None:
        return None
    n_apart = job.n_trials - job.counts[TrialState.CANCELLED] - job.n_counted + job.n_confirming
    if n_apart:  # the search is over
        return None
    return next_decision(sum(job.counts[state] for state in _COUNTED), findings.considered_at)


def _decide(held: HeldJob, at: int) -> bool:
    trials = first_ended(held.load_trials(), at)
    findings, found = decide(held.job.tuning_findings, trials, held.objectives[0].direction)
    warnings = list(held.job.warnings)
    if found is not None:
        warnings.append(_told(found, at))
    document = findings.model_dump(mode="json")
    held.transact(lambda ledger: ledger.set_job(findings=document, warnings=warnings))
    held.read(held.refresh)
    return found is not None


def decide(
    findings: TuningFindings, trials: Sequence[Trial], direction: Direction
) -> tuple[TuningFindings, Widening | None]:
    """Return what is known after a decision, and which bound it moves.

    Args:
        findings: with a search space that a range test found.
        trials: that have ended, as many as the decision is due at.
    """
    space = findings.search_space
    assert space is not None, "soft bounds are those of a space that was found"
    rate = space[_RATE]
    assert isinstance(rate, FloatParameter), "only a real number has a range test"
    assert rate.low is not None, "bounds were found"
    assert rate.high is not None, "bounds were found"
    movable = [edge for edge in findings.soft if findings.widened.count(edge) < MOST_STEPS]
    found = find_widening(trials, name=_RATE, low=rate.low, high=rate.high, soft=movable, direction=direction)
    changes: dict[str, object] = {"considered_at": len(trials)}
    if found is not None:
        changes |= {"search_space": _moved(space, rate, found), "widened": [*findings.widened, found.edge]}
    return findings.model_copy(update=changes), found


def _moved(space: SearchSpace, rate: FloatParameter, found: Widening) -> SearchSpace:
    return {**space, _RATE: rate.model_copy(update={found.edge.value: found.after})}


def _told(found: Widening, at: int) -> str:
    goes = "down" if found.edge is Edge.LOW else "up"
    return (
        f"after {at} trials the good ones lay at the {found.edge} end that the range test found, {found.before:.3g}: "
        f"the learning rate is searched {goes} to {found.after:.3g} from then on"
    )
