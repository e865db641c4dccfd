"""The trials that check a job's answer, as they enter the record."""

from collections.abc import Sequence

from stepsize.domain.answer import Answer
from stepsize.domain.confirmation import Recommendation, draw_checks
from stepsize.domain.seeds import derive_seed
from stepsize.domain.trial import Trial, TrialPurpose, TrialState
from stepsize.spec.constraints import parameter_rule
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.store.ledger import NewTrial


def missing_checks(
    spec: ResolvedJobSpec, trials: Sequence[Trial], answer: Answer | None, n: int, *, first_number: int
) -> list[NewTrial]:
    """Return trials that check an answer, to be queued; none where there is nothing to check.

    Args:
        trials: all of the job's, by number.
        answer: to the trials of the search; None: nobody could be asked.
        n: how many checks are left to the job.
        first_number: the number of the first new trial.
    """
    cost = spec.objectives[0].direction.cost
    searched = [trial for trial in trials if trial.purpose is TrialPurpose.SEARCH and trial.objective is not None]
    best = sorted(searched, key=lambda trial: (cost(trial.objective or 0.0), trial.number))
    configurations = draw_checks(
        None if answer is None else Recommendation.of(answer),
        [trial.params for trial in best],
        spec.search_space,
        n,
        is_allowed=parameter_rule(spec.parameter_constraints, fixed=spec.trainer.params),
    )
    # Checks that were cancelled count too: no seed is given twice.
    n_before = sum(trial.purpose is TrialPurpose.CONFIRM for trial in trials)
    return [
        NewTrial(
            number=first_number + at,
            state=TrialState.QUEUED,
            params=params,
            seed=derive_seed(spec.seed, "check", n_before + at),
            confirms=True,
        )
        for at, params in enumerate(configurations)
    ]
