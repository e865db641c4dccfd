"""A past for a job: finished trials written straight into the record."""

import math
import random

from stepsize.domain.trial import Report, TrialState
from stepsize.store.database import Database
from stepsize.store.ledger import NewTrial, open_ledger


def add_history(database: Database, job_id: str, *, n_trials: int, n_reports: int, seed: int = 0) -> None:
    """Record completed trials of the `synthetic` valley with random parameters and `n_reports` reports each."""
    draw = random.Random(seed)
    params = [
        {"learning_rate": 10 ** draw.uniform(-5, 0), "batch_size": 1 << draw.randint(4, 8)} for _ in range(n_trials)
    ]
    with database.write() as connection, open_ledger(connection, job_id) as ledger:
        ledger.insert_trials(
            [
                NewTrial(number, TrialState.RUNNING, params[number], seed=0, worker="history")
                for number in range(n_trials)
            ]
        )
        for number, point in enumerate(params):
            loss = (math.log10(point["learning_rate"]) + 2) ** 2 + 0.01
            steps = range(1, n_reports + 1)
            ledger.add_reports([Report(number, step, {"loss": loss + 1 / step}, 0.1 * step) for step in steps])
            ledger.move_trial(
                number, TrialState.RUNNING, TrialState.COMPLETED, values={"loss": loss}, objective=loss, step=n_reports
            )
    if not database.is_postgresql:
        # The past must not be written to its final place at the expense of the trials measured next.
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
