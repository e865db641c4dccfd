"""What an analysis is given of a job."""

import pytest

from stepsize.domain.trial import TrialState
from stepsize.store.database import Database
from stepsize.store.evidence import load_evidence
from tests.builders import make_job, make_spec, make_trial


@pytest.mark.parametrize(("seeds", "known"), [("fresh", [0, 1]), ("unknown", [None, None])])
def test_seeds_that_nobody_knows_are_not_made_up(database: Database, seeds: str, known: list[int | None]) -> None:
    with database.write() as connection:
        job = make_job(connection, spec=make_spec(engine="external", seeds=seeds))
        for _ in known:
            make_trial(connection, job.id, state=TrialState.COMPLETED, objective=0.5, values={"loss": 0.5})
    with database.read() as connection:
        assert load_evidence(connection, job.id).trials.seed == known
