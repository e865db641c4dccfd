"""Jobs as recorded and read back."""

import pytest

from stepsize.domain.job import Desired, JobState
from stepsize.domain.trial import TrialState
from stepsize.errors import JobNotFoundError
from stepsize.store.database import Database
from stepsize.store.jobs import delete_job, get_job
from stepsize.store.ledger import open_ledger
from stepsize.store.trials import load_reports, load_trials
from tests.builders import make_job, make_report, make_spec, make_trial


def test_a_new_job_is_queued_and_counts_nothing(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, warnings=("slow",), total_cells=9)

    assert (job.state, job.desired, job.reason) == (JobState.QUEUED, Desired.RUN, None)
    assert (job.revision, job.change, job.lease_token, job.lease_live) == (1, 1, 0, False)
    assert job.counts == dict.fromkeys(TrialState, 0)
    assert (job.warnings, job.total_cells, job.best_trial) == (("slow",), 9, None)


def test_a_spec_comes_back_as_it_was_written(database: Database) -> None:
    """The order of a search space decides grid cells and draws; floats must keep their type and every bit."""
    space = {
        "zeta": {"type": "float", "low": -0.0, "high": 1e300},
        "a": {"type": "float", "low": 5e-324, "high": 1e16},
        "mid": {"type": "categorical", "choices": ["b", "a", 1, 1.5, True]},
    }
    spec = make_spec(search_space=space, labels={"z": "1", "a": "2"})
    with database.write() as connection:
        job_id = make_job(connection, spec=spec).id

    with database.read() as connection:
        read = get_job(connection, job_id)

    assert read.spec.model_dump_json() == spec.model_dump_json()
    assert list(read.labels.items()) == [("z", "1"), ("a", "2")]


def test_a_job_of_another_project_is_not_found(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, project="vision")
        assert get_job(connection, job.id, project="vision").id == job.id
        with pytest.raises(JobNotFoundError):
            get_job(connection, job.id)


def test_deleting_a_job_removes_its_trials_and_reports_and_no_others(database: Database) -> None:
    with database.write() as connection:
        doomed, kept = make_job(connection, state=JobState.COMPLETED), make_job(connection)
        for job in (doomed, kept):
            make_trial(connection, job.id)
            with open_ledger(connection, job.id) as ledger:
                ledger.add_reports([make_report()])

        delete_job(connection, doomed.id)

        with pytest.raises(JobNotFoundError):
            get_job(connection, doomed.id)
        assert not load_trials(connection, doomed.id)
        assert not list(load_reports(connection, doomed.id))
        assert len(load_trials(connection, kept.id)) == len(list(load_reports(connection, kept.id))) == 1
