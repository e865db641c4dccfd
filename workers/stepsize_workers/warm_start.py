"""Warm start: trials of earlier jobs, read as history of a new one.

Which jobs was settled when the new one was submitted, and only trials that had ended by then count: a search that is
rebuilt later has the same history, as long as those jobs are still there.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stepsize.domain.job import Job
from stepsize.domain.trial import Trial, TrialPurpose, TrialReason, TrialState
from stepsize.domain.tuning import WarmStartSource
from stepsize.errors import JobNotFoundError
from stepsize.spec.objective import Objective
from stepsize.spec.space import Scalar, SearchSpace, applies, in_dependency_order
from stepsize.spec.wording import counted
from stepsize.store.database import Connection
from stepsize.store.jobs import get_job
from stepsize.store.trials import load_trials

WARNING = "warm start: "
"""How the warning begins that says what became of it."""

_TEACHES = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.INFEASIBLE)


@dataclass(frozen=True)
class EarlierTrial:
    """A trial of another job, in terms of this one's search space."""

    params: Mapping[str, Scalar]
    values: tuple[float, ...]
    """Of this job's objectives; of a pruned trial at its last step; of an infeasible one what stands in for them."""
    state: TrialState
    reason: TrialReason | None
    step: int | None = None
    """The last step a pruned trial reported."""


@dataclass(frozen=True)
class History:
    """What earlier jobs have to say."""

    trials: tuple[EarlierTrial, ...] = ()
    n_jobs: int = 0
    """Jobs that are still there."""
    left_out: tuple[tuple[str, int], ...] = ()
    """Why trials were left out, and how many for each reason."""

    def summary(self) -> str:
        """Return a sentence for the job's warnings."""
        said = f"{WARNING}{counted(len(self.trials), 'trial')} of {counted(self.n_jobs, 'job')} entered the search"
        if not self.left_out:
            return said
        n = sum(number for _, number in self.left_out)
        return f"{said}; {n} left out: " + ", ".join(f"{number} {why}" for why, number in self.left_out)


@dataclass(frozen=True)
class Source:
    """An earlier job and those of its trials that had ended in time."""

    defaults: Mapping[str, Scalar]
    """Of parameters its trials say nothing about."""
    trials: Sequence[Trial]


def load_history(connection: Connection, job: Job, space: SearchSpace) -> History:
    """Return what the jobs that a tuning job was told to learn from have to say about its search space."""
    sources = [
        found for source in job.tuning_details.warm_start if (found := _load(connection, source, job)) is not None
    ]
    return gather(sources, space, job.spec.objectives)


def gather(sources: Iterable[Source], space: SearchSpace, objectives: Sequence[Objective]) -> History:
    """Return the trials that have a value for each parameter that applies, within its range, and for each objective.

    Infeasible ones stand in with the worst of what entered, or are left out if nothing feasible did. A pruned one says
    how far it came, and with what value; where there are several objectives that says nothing.
    """
    found: list[tuple[Trial, dict[str, Scalar]]] = []
    left_out: Counter[str] = Counter()
    n_jobs = 0
    for source in sources:
        n_jobs += 1
        for trial in source.trials:
            params = _in_terms_of(space, {**source.defaults, **trial.params})
            why_not = params if isinstance(params, str) else _why_no_result(trial, objectives)
            if why_not is not None:
                left_out[why_not] += 1
            elif not isinstance(params, str):
                found.append((trial, params))
    worst = _worst([trial for trial, _ in found if trial.state is TrialState.COMPLETED], objectives)
    entered = [entry for trial, params in found if (entry := _enter(trial, params, objectives, worst)) is not None]
    if n_stranded := len(found) - len(entered):
        left_out["infeasible, with nothing feasible beside them"] += n_stranded
    return History(tuple(entered), n_jobs, tuple(sorted(left_out.items())))


def _load(connection: Connection, source: WarmStartSource, job: Job) -> Source | None:
    try:
        earlier = get_job(connection, source.job_id, project=job.project)
    except JobNotFoundError:  # deleted since
        return None
    trials = [
        trial
        for trial in load_trials(connection, earlier.id, _TEACHES)
        if trial.purpose is TrialPurpose.SEARCH and (trial.finished_at or 0.0) <= job.created_at
    ]
    return Source({**source.defaults, **earlier.spec.trainer.params}, trials)


def _in_terms_of(space: SearchSpace, known: Mapping[str, Scalar]) -> dict[str, Scalar] | str:
    """Return the parameters that apply, or why the trial is no point of this space."""
    params: dict[str, Scalar] = {}
    for name in in_dependency_order(space):
        if not applies(space[name], params):
            continue
        if name not in known:
            return f"without {name}"
        if (value := space[name].own(known[name])) is None:
            return "out of range"
        params[name] = value
    return params


def _why_no_result(trial: Trial, objectives: Sequence[Objective]) -> str | None:
    match trial.state:
        case TrialState.PRUNED if len(objectives) > 1 or trial.step is None:
            return "pruned"
        case TrialState.COMPLETED | TrialState.PRUNED:
            missing = [objective.metric for objective in objectives if objective.metric not in trial.values]
            return f"without {missing[0]}" if missing else None
        case _:
            return None


def _enter(
    trial: Trial, params: Mapping[str, Scalar], objectives: Sequence[Objective], worst: tuple[float, ...] | None
) -> EarlierTrial | None:
    if trial.state is TrialState.INFEASIBLE:
        return None if worst is None else EarlierTrial(params, worst, trial.state, trial.reason)
    step = trial.step if trial.state is TrialState.PRUNED else None
    return EarlierTrial(params, _values(trial, objectives), trial.state, None, step)


def _worst(trials: Sequence[Trial], objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    if not trials:
        return None
    columns = zip(*(_values(trial, objectives) for trial in trials), strict=True)
    pairs = zip(objectives, columns, strict=True)
    return tuple(one.direction.worst(column) for one, column in pairs)


def _values(trial: Trial, objectives: Sequence[Objective]) -> tuple[float, ...]:
    return tuple(trial.values[objective.metric] for objective in objectives)
