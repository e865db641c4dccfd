"""Replicates: the best configurations trained again with fresh seeds, once the search itself is over."""

from collections.abc import Sequence

from stepsize.domain.seeds import derive_seed
from stepsize.domain.trial import Trial, TrialPurpose, TrialReason, TrialState
from stepsize.spec.objective import Direction
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.store.ledger import NewTrial


def missing_replicates(spec: ResolvedJobSpec, trials: Sequence[Trial], *, first_number: int) -> list[NewTrial]:
    """Return the replicates that the best trials still lack, to be queued; none once they have run.

    A function of the record alone, so that a job that is taken over, or reopened by a larger budget, makes up what its
    best trials lack by then and repeats nothing. One that a client cancelled is not made up for; one that was cancelled
    because the job ended is.

    Args:
        trials: all of the job's, by number.
        first_number: the number of the first new trial.
    """
    if spec.replicates is None:
        return []
    have = {(trial.replicate_of, trial.seed) for trial in trials if not _fell_with_its_job(trial)}
    wanted = [
        (trial, seed)
        for trial in _best(trials, spec.objectives[0].direction, n=spec.replicates.top)
        for index in range(spec.replicates.seeds)
        if (trial.number, seed := derive_seed(spec.seed, f"replicate {trial.number}", index)) not in have
    ]
    return [
        NewTrial(
            number=first_number + offset,
            state=TrialState.QUEUED,
            params=trial.params,
            seed=seed,
            replicate_of=trial.number,
        )
        for offset, (trial, seed) in enumerate(wanted)
    ]


def _fell_with_its_job(trial: Trial) -> bool:
    """Tell whether a trial was cancelled with nobody having asked for that: its job had ended."""
    return trial.state is TrialState.CANCELLED and trial.reason is not TrialReason.USER


def _best(trials: Sequence[Trial], direction: Direction, *, n: int) -> list[Trial]:
    feasible = [trial for trial in trials if trial.objective is not None and trial.purpose is TrialPurpose.SEARCH]
    return sorted(feasible, key=lambda trial: (direction.cost(trial.objective or 0.0), trial.number))[:n]
