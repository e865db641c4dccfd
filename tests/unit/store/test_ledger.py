"""The ledger: what a transaction on a job writes beside what it was asked to."""

import math
from typing import Any

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from stepsize.domain.job import Desired, JobReason, JobState
from stepsize.domain.trial import ALLOWED, TrialPurpose, TrialReason, TrialState
from stepsize.errors import JobNotFoundError, StateConflictError
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.ledger import NewTrial, open_ledger
from stepsize.store.models import reports, trials
from stepsize.store.trials import get_trial, load_reports, load_trials
from tests.builders import make_job, make_report, make_spec, make_trial, take_lease

MAXIMIZE = {"objectives": [{"metric": "accuracy", "direction": "maximize"}]}


def _new(number: int = 0, **fields: Any) -> NewTrial:
    defaults: dict[str, Any] = {"state": TrialState.QUEUED, "params": {}, "seed": 0}
    return NewTrial(number=number, **defaults | fields)


# Change and revision


def test_change_rises_once_per_transaction_and_stands_on_its_rows(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
        make_trial(connection, job.id)
        with open_ledger(connection, job.id) as ledger:
            ledger.insert_trials([_new(1), _new(2)])
            ledger.add_reports([make_report(1)])
            ledger.touch_trial(2, cancel_requested=True)

        assert get_job(connection, job.id).change == ledger.change == job.change + 2
        changes = [trial.change for trial in load_trials(connection, job.id)]
        assert changes == [job.change + 1, ledger.change, ledger.change]
        assert connection.scalars(select(reports.c.change)).all() == [ledger.change]


def test_reports_alone_leave_the_revision(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        make_trial(connection, job_id, state=TrialState.RUNNING)
        before = get_job(connection, job_id)

        with open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report()])
            ledger.touch_trial(0, step=1)

        after = get_job(connection, job_id)
    assert (after.change, after.revision) == (before.change + 1, before.revision)


def test_moves_of_trials_and_jobs_set_the_revision(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        with open_ledger(connection, job_id) as ledger:
            ledger.insert_trials([_new()])
        assert get_job(connection, job_id).revision == ledger.change
        with open_ledger(connection, job_id) as ledger:
            ledger.move_trial(0, TrialState.QUEUED, TrialState.RUNNING)
        assert get_job(connection, job_id).revision == ledger.change
        with open_ledger(connection, job_id) as ledger:
            ledger.move_job(JobState.PAUSED)
        assert get_job(connection, job_id).revision == ledger.change
        with open_ledger(connection, job_id) as ledger:
            ledger.set_job(priority=5)
        assert get_job(connection, job_id).revision == ledger.change


def test_a_failed_transaction_leaves_neither_change_nor_trial(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id

    def fail() -> None:
        with database.write() as connection, open_ledger(connection, job_id) as ledger:
            ledger.insert_trials([_new()])
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        fail()

    with database.read() as connection:
        job = get_job(connection, job_id)
        assert (job.change, job.n_trials, job.counts[TrialState.QUEUED]) == (1, 0, 0)
        assert load_trials(connection, job_id) == []


def test_a_ledger_on_no_job_is_refused(database: Database) -> None:
    with database.write() as connection, pytest.raises(JobNotFoundError), open_ledger(connection, "job_none"):
        pass


def test_a_ledger_on_another_projects_job_is_refused(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, project="vision")
        with pytest.raises(JobNotFoundError), open_ledger(connection, job.id):
            pass


def test_trials_and_reports_belong_to_their_jobs_project(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, project="vision")
        with open_ledger(connection, job.id, project="vision") as ledger:
            ledger.insert_trials([_new()])
            ledger.add_reports([make_report()])

        assert connection.scalars(select(trials.c.project)).all() == ["vision"]
        assert connection.scalars(select(reports.c.project)).all() == ["vision"]


# Trials


def test_a_trial_comes_back_as_it_was_written(database: Database) -> None:
    new = _new(
        7,
        state=TrialState.RUNNING,
        params={"z": 1e16, "a": -0.0, "flag": True, "name": "é"},
        seed=2**32 - 1,
        study_attrs={"z": [1, 2.0], "a": None},
        cell=2**40,
        enqueued=True,
        worker="worker-1",
        device="cpu",
    )
    with database.write() as connection:
        job_id = make_job(connection).id
        with open_ledger(connection, job_id) as ledger:
            ledger.insert_trials([new])
        trial = get_trial(connection, job_id, 7)

    assert repr(trial.params) == repr(new.params), "order, types and signs are kept"
    assert repr(trial.study_attrs) == repr(new.study_attrs)
    assert (trial.seed, trial.cell, trial.enqueued) == (new.seed, new.cell, True)
    assert (trial.state, trial.attempt, trial.worker, trial.device) == (TrialState.RUNNING, 1, "worker-1", "cpu")
    assert (trial.error, trial.stand_in, trial.artifacts) == (None, None, ())


def test_a_queued_trial_has_not_been_attempted(database: Database) -> None:
    with database.write() as connection:
        trial = make_trial(connection, make_job(connection).id)

    assert (trial.attempt, trial.started_at) == (0, None)


def test_counters_follow_every_move(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        for state in TrialState:
            make_trial(connection, job_id, state=state)
        with open_ledger(connection, job_id) as ledger:
            ledger.move_trial(0, TrialState.QUEUED, TrialState.RUNNING)
            ledger.move_trial(0, TrialState.RUNNING, TrialState.COMPLETED)
        job = get_job(connection, job_id)

    assert job.n_trials == len(TrialState)
    assert job.counts == dict.fromkeys(TrialState, 1) | {TrialState.QUEUED: 0, TrialState.COMPLETED: 2}
    assert ledger.job.counts == job.counts, "the closed ledger knows what it left"


def test_a_move_from_a_state_the_trial_left_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        trial = make_trial(connection, job_id, state=TrialState.COMPLETED, objective=1.0)
        before = get_job(connection, job_id)

        with open_ledger(connection, job_id) as ledger:
            moved = ledger.move_trial(0, TrialState.RUNNING, TrialState.FAILED, reason=TrialReason.LOST)

        after = get_job(connection, job_id)
        assert not moved
        assert get_trial(connection, job_id, 0) == trial
        assert (after.counts, after.revision, after.best_trial) == (before.counts, before.revision, 0)


@pytest.mark.parametrize(
    ("have", "to"), [(have, to) for have in TrialState for to in TrialState if to not in ALLOWED[have]], ids=str
)
def test_a_move_that_can_not_happen_is_refused(sqlite_url: str, have: TrialState, to: TrialState) -> None:
    """Refused before the database is asked, so one database is enough."""
    database = Database(sqlite_url)
    with database.write() as connection:
        job_id = make_job(connection).id
        make_trial(connection, job_id, state=have)
        with open_ledger(connection, job_id) as ledger, pytest.raises(AssertionError, match="never goes"):
            ledger.move_trial(0, have, to)
    database.dispose()


def test_move_trials_moves_all_in_those_states_and_names_them(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        for state in (TrialState.QUEUED, TrialState.RUNNING, TrialState.COMPLETED, TrialState.RUNNING):
            make_trial(connection, job_id, state=state)

        with open_ledger(connection, job_id) as ledger:
            moved = ledger.move_trials((TrialState.QUEUED, TrialState.RUNNING), TrialState.CANCELLED)

        assert sorted(moved) == [0, 1, 3]
        assert get_job(connection, job_id).counts[TrialState.CANCELLED] == 3


def test_running_since_names_running_trials_from_a_number_on(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        for state in (TrialState.RUNNING, TrialState.QUEUED, TrialState.RUNNING, TrialState.RUNNING):
            make_trial(connection, job_id, state=state)
        with open_ledger(connection, job_id) as ledger:
            assert list(ledger.under_way.running_since(1)) == [2, 3]


def test_a_finished_trial_has_an_end(database: Database) -> None:
    with database.write() as connection:
        trial = make_trial(connection, make_job(connection).id, state=TrialState.FAILED)

    assert trial.started_at is not None
    assert trial.finished_at is not None
    assert trial.finished_at >= trial.started_at


def test_a_grid_cell_is_recorded_once(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        with open_ledger(connection, job_id) as ledger:
            ledger.insert_trials([_new(0, cell=3), _new(1, cell=None), _new(2, cell=None)])

    with (
        pytest.raises(IntegrityError),
        database.write() as connection,
        open_ledger(connection, job_id) as ledger,
    ):
        ledger.insert_trials([_new(3, cell=3)])

    with database.read() as connection:
        assert get_job(connection, job_id).n_trials == 3


def test_the_same_cell_of_two_jobs_is_two_cells(database: Database) -> None:
    with database.write() as connection:
        for job in (make_job(connection), make_job(connection)):
            with open_ledger(connection, job.id) as ledger:
                ledger.insert_trials([_new(cell=0)])


def test_a_trial_number_is_recorded_once(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        make_trial(connection, job_id)

    with pytest.raises(IntegrityError), database.write() as connection, open_ledger(connection, job_id) as ledger:
        ledger.insert_trials([_new(0)])


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1.7e308])
def test_an_objective_is_finite(database: Database, value: float) -> None:
    with pytest.raises(IntegrityError), database.write() as connection:
        make_trial(connection, make_job(connection).id, state=TrialState.COMPLETED, objective=value)


# The best trial


def _best(connection: Connection, job_id: str) -> int | None:
    return get_job(connection, job_id).best_trial


def test_best_is_the_lowest_when_minimizing_and_the_first_of_equals(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        assert _best(connection, job_id) is None
        found = []
        for objective in (3.0, 1.0, 2.0, 1.0, 0.5):
            make_trial(connection, job_id, state=TrialState.COMPLETED, objective=objective)
            found.append(_best(connection, job_id))

    assert found == [0, 1, 1, 1, 4]


def test_best_is_the_highest_when_maximizing(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(**MAXIMIZE)).id
        for objective in (0.1, 0.9, 0.5):
            make_trial(connection, job_id, state=TrialState.COMPLETED, objective=objective)

        assert _best(connection, job_id) == 1


def test_best_is_among_the_completed_and_no_replicate(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        make_trial(connection, job_id, state=TrialState.COMPLETED, objective=5.0)
        make_trial(connection, job_id, state=TrialState.PRUNED, objective=1.0)
        make_trial(connection, job_id, state=TrialState.INFEASIBLE, reason=TrialReason.DIVERGED)
        make_trial(connection, job_id, state=TrialState.COMPLETED)
        completed, replicate = TrialState.COMPLETED, TrialPurpose.REPLICATE
        make_trial(connection, job_id, state=completed, objective=0.0, purpose=replicate, replicate_of=0)

        assert _best(connection, job_id) == 0


def test_several_objectives_have_no_best(database: Database) -> None:
    objectives = [{"metric": "loss", "direction": "minimize"}, {"metric": "time", "direction": "minimize"}]
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(objectives=objectives)).id
        make_trial(connection, job_id, state=TrialState.COMPLETED, objective=1.0)

        assert _best(connection, job_id) is None


# Stand-ins of infeasible trials


def test_infeasible_trials_without_a_stand_in_get_one(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        make_trial(connection, job_id, state=TrialState.INFEASIBLE, stand_in=[9.0])
        make_trial(connection, job_id, state=TrialState.INFEASIBLE)
        make_trial(connection, job_id, state=TrialState.FAILED)
        with open_ledger(connection, job_id) as ledger:
            ledger.give_stand_ins([0.1 + 0.2])
        told = {trial.number: trial.stand_in for trial in load_trials(connection, job_id)}

    assert told == {0: (9.0,), 1: (0.1 + 0.2,), 2: None}, "to the last bit: replay must be exact"


def test_a_stand_in_is_no_objective(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        trial = make_trial(connection, job_id, state=TrialState.INFEASIBLE, stand_in=[9.0])

        assert trial.objective is None
        assert _best(connection, job_id) is None


# Reports


def test_a_step_reported_again_takes_the_later_values(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        make_trial(connection, job_id, state=TrialState.RUNNING)
        with open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report(step=1, loss=3.0), make_report(step=2, loss=2.0)])
        with open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report(step=2, loss=1.0, elapsed_s=7.0)])
        read = list(load_reports(connection, job_id, 0))

    assert read == [make_report(step=1, loss=3.0), make_report(step=2, loss=1.0, elapsed_s=7.0)]


def test_a_step_reported_twice_in_one_batch_takes_the_later_values(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        with open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report(step=1, loss=3.0), make_report(step=1, loss=2.0)])
        assert [report.values for report in load_reports(connection, job_id)] == [{"loss": 2.0}]


def test_a_step_may_count_frames(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        with open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report(step=10**10)])
        assert [report.step for report in load_reports(connection, job_id)] == [10**10]


def test_reports_come_by_trial_and_step(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        with open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report(1, 2), make_report(0, 10), make_report(1, 1), make_report(0, 9)])
        assert [(r.number, r.step) for r in load_reports(connection, job_id)] == [(0, 9), (0, 10), (1, 1), (1, 2)]
        assert [(r.number, r.step) for r in load_reports(connection, job_id, 1)] == [(1, 1), (1, 2)]


def test_reports_after_a_checkpoint_are_forgotten(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        with open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report(number, step) for number in (0, 1) for step in (1, 2, 3)])
            ledger.forget_reports(0, after_step=1)
        assert [(r.number, r.step) for r in load_reports(connection, job_id)] == [(0, 1), (1, 1), (1, 2), (1, 3)]


# The job itself


def test_a_finished_job_has_an_end_until_it_is_queued_again(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, state=JobState.COMPLETED, reason=JobReason.MAX_TRIALS)
        assert job.finished_at is not None
        assert job.reason is JobReason.MAX_TRIALS
        with open_ledger(connection, job.id) as ledger:
            ledger.move_job(JobState.QUEUED)
        again = get_job(connection, job.id)

    assert (again.state, again.reason, again.finished_at) == (JobState.QUEUED, None, None)


def test_a_job_never_leaps_between_states(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, state=JobState.COMPLETED)
        with open_ledger(connection, job.id) as ledger, pytest.raises(StateConflictError):
            ledger.move_job(JobState.RUNNING)


def test_moving_a_job_to_where_it_is_changes_no_revision(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection, state=JobState.PAUSED)
        with open_ledger(connection, job.id) as ledger:
            ledger.move_job(JobState.PAUSED)
        assert get_job(connection, job.id).revision == job.revision


def test_gpu_seconds_add_up(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        make_trial(connection, job_id, state=TrialState.RUNNING)
        for seconds, to in ((1.5, TrialState.QUEUED), (2.25, TrialState.COMPLETED)):
            with open_ledger(connection, job_id) as ledger:
                ledger.move_trial(0, TrialState.RUNNING, to, gpu_seconds=seconds)
            if to is TrialState.QUEUED:
                with open_ledger(connection, job_id) as ledger:
                    ledger.move_trial(0, TrialState.QUEUED, TrialState.RUNNING)
        assert get_job(connection, job_id).gpu_seconds == 3.75
        assert get_trial(connection, job_id, 0).gpu_seconds == 3.75


def test_cancelled_trials_and_replicates_count_for_nothing(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection).id
        for number in range(3):
            make_trial(connection, job_id, state=TrialState.RUNNING, number=number)
        with open_ledger(connection, job_id) as ledger:
            ledger.insert_trials([_new(3, replicate_of=0)])
            ledger.move_trial(1, TrialState.RUNNING, TrialState.CANCELLED)
            ledger.move_trial(2, TrialState.RUNNING, TrialState.COMPLETED, objective=1.0)
        assert get_job(connection, job_id).n_counted == 2
        with open_ledger(connection, job_id) as ledger:
            ledger.move_trial(1, TrialState.CANCELLED, TrialState.QUEUED)
        assert ledger.job.n_counted == get_job(connection, job_id).n_counted == 3


def test_a_closed_ledger_has_the_job_as_the_record_has_it(database: Database) -> None:
    with database.write() as connection:
        job = make_job(connection)
        make_trial(connection, job.id, state=TrialState.RUNNING)
        take_lease(connection, job.id)
    spec = make_spec(labels={"a": "b"}, priority=3)
    with database.write() as connection:
        with open_ledger(connection, job.id) as ledger:
            ledger.move_trial(0, TrialState.RUNNING, TrialState.COMPLETED, objective=1.0, gpu_seconds=2.5)
            ledger.insert_trials([NewTrial(number=1, state=TrialState.QUEUED, params={}, seed=1)])
            ledger.set_job(labels={"a": "b"}, priority=3, desired=Desired.STOP, warnings=["one"], findings={"x": 1})
            ledger.set_job(spec=spec.model_dump(mode="json"))
            ledger.move_job(JobState.FAILED, JobReason.ERROR, error="it broke")
            ledger.release_lease()
        left = ledger.job
        assert left == get_job(connection, job.id)
    assert (left.state, left.error, left.spec, left.best_trial) == (JobState.FAILED, "it broke", spec, 0)
    assert (left.desired, left.lease_owner, left.lease_live) == (Desired.STOP, None, False)


# A pruner that has nothing to judge


def _complete(connection: Connection, job_id: str, *, steps: list[int], n: int) -> list[str]:
    """Complete so many trials, each after reports at these steps; return what the job warns of then."""
    for _ in range(n):
        number = make_trial(connection, job_id, state=TrialState.RUNNING).number
        with open_ledger(connection, job_id) as ledger:
            ledger.add_reports([make_report(number, step, loss=1.0) for step in steps])
            ledger.move_trial(number, TrialState.RUNNING, TrialState.COMPLETED)
    return list(get_job(connection, job_id).warnings)


def test_a_pruner_whose_first_trials_report_once_is_warned_of_once(database: Database) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(pruner={"name": "asha"}), warnings=("another",)).id

        assert _complete(connection, job_id, steps=[7], n=4) == ["another"]
        kept, warning = _complete(connection, job_id, steps=[7], n=1)
        assert kept == "another"
        assert "asha may never stop a trial: the first 5 to complete reported loss at step 7 alone" in warning
        assert _complete(connection, job_id, steps=[7], n=6) == [kept, warning]


@pytest.mark.parametrize(
    ("pruner", "steps", "told"),
    [
        ({"name": "asha"}, [1, 2], ()),
        ({"name": "none"}, [1], ()),
        ({"name": "threshold", "upper": 2.0}, [1], ()),
        ({"name": "asha"}, [1], ("asha never stops a trial: its first verdict is at step 1, and trials report once",)),
    ],
)
def test_a_pruner_with_something_to_judge_is_not_warned_of(
    database: Database, pruner: dict[str, Any], steps: list[int], told: tuple[str, ...]
) -> None:
    with database.write() as connection:
        job_id = make_job(connection, spec=make_spec(pruner=pruner), warnings=told).id
        assert tuple(_complete(connection, job_id, steps=steps, n=6)) == told
