"""A past for a job: finished trials written straight into the record."""

import math
import random

from sqlalchemy import bindparam

from stepsize.clock import now
from stepsize.domain.trial import Report, TrialState
from stepsize.store.database import Database
from stepsize.store.ledger import NewTrial, open_ledger
from stepsize.store.models import trials

_TRIALS_AT_ONCE = 5_000
_END = (
    trials.update()
    .where(trials.c.job_id == bindparam("of_job"), trials.c.number == bindparam("of_number"))
    .values(
        {
            "values": bindparam("new_values"),
            "objective": bindparam("new_objective"),
            "step": bindparam("new_step"),
            "started_at": bindparam("new_time"),
            "finished_at": bindparam("new_time"),
            "attempt": 1,
        }
    )
)


def add_history(database: Database, job_id: str, *, n_trials: int, n_reports: int, seed: int = 0) -> None:
    """Record completed trials of the `synthetic` valley with random parameters and `n_reports` reports each."""
    draw = random.Random(seed)
    params = [
        {"learning_rate": 10 ** draw.uniform(-5, 0), "batch_size": 1 << draw.randint(4, 8)} for _ in range(n_trials)
    ]
    losses = [(math.log10(point["learning_rate"]) + 2) ** 2 + 0.01 for point in params]
    completed = TrialState.COMPLETED
    with database.write() as connection, open_ledger(connection, job_id) as ledger:
        # All but the last in bulk, that one as trials end, which has the job's best trial found: one by one, 100,000
        # trials take minutes.
        states = [completed] * (n_trials - 1) + [TrialState.RUNNING]
        ledger.insert_trials(
            [NewTrial(number, state, params[number], seed=0, worker="history") for number, state in enumerate(states)]
        )
        connection.execute(
            _END,
            [
                {"of_job": job_id, "of_number": number, "new_values": {"loss": loss}, "new_objective": loss}
                | {"new_step": n_reports, "new_time": now()}
                for number, loss in enumerate(losses[:-1])
            ],
        )
        for begin in range(0, n_trials, _TRIALS_AT_ONCE):
            ledger.add_reports(
                [
                    Report(number, step, {"loss": losses[number] + 1 / step}, 0.1 * step)
                    for number in range(begin, min(begin + _TRIALS_AT_ONCE, n_trials))
                    for step in range(1, n_reports + 1)
                ]
            )
        values = {"loss": losses[-1]}
        ledger.move_trial(
            n_trials - 1, TrialState.RUNNING, completed, values=values, objective=losses[-1], step=n_reports
        )
    if not database.is_postgresql:
        # The past must not be written to its final place at the expense of the trials measured next.
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
