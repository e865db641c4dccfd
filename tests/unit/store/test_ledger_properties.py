"""Whatever moves a job's trials make, its own row agrees with a recount of them."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepsize.domain.trial import ALLOWED, Trial, TrialState
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.ledger import NewTrial, open_ledger
from stepsize.store.trials import load_trials
from tests.builders import make_job

N_TRIALS = 4

moves = st.lists(  # transactions of moves of (trial, from, to, objective); what the trial is not in moves nothing
    st.lists(
        st.tuples(
            st.integers(0, N_TRIALS - 1),
            st.sampled_from([(have, to) for have in TrialState for to in sorted(ALLOWED[have])]),
            st.integers(0, 3).map(float) | st.none(),
        ),
        max_size=6,
    ),
    max_size=6,
)


# Each example has a job of its own, so sharing the database between examples is safe.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(transactions=moves)
def test_counters_best_and_change_equal_a_recount(
    database: Database,
    transactions: list[list[tuple[int, tuple[TrialState, TrialState], float | None]]],
) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        with open_ledger(connection, job_id) as ledger:
            new = [NewTrial(number=n, state=TrialState.RUNNING, params={}, seed=0) for n in range(N_TRIALS)]
            ledger.insert_trials(new)

    for transaction in transactions:
        with database.write() as connection, open_ledger(connection, job_id) as ledger:
            for number, (have, to), objective in transaction:
                measured = objective if to is TrialState.COMPLETED else None
                ledger.move_trial(number, have, to, objective=measured)

    with database.read() as connection:
        job, trials = get_job(connection, job_id), load_trials(connection, job_id)
    counted = Counter(trial.state for trial in trials)
    assert job.counts == {state: counted[state] for state in TrialState}
    assert job.n_trials == len(trials)
    assert job.best_trial == _best(trials)
    assert job.change == 2 + len(transactions)
    assert job.revision == max(trial.change for trial in trials)


def _best(trials: list[Trial]) -> int | None:
    finite = [
        (trial.objective, trial.number)
        for trial in trials
        if trial.state is TrialState.COMPLETED and trial.objective is not None
    ]
    return min(finite)[1] if finite else None
