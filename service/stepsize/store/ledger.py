"""One transaction on one job: the only way trials and states are written.

Opening a ledger takes the job's row lock and the transaction's `change`; closing it brings the counters, the revision
and the best trial in line with what was moved and announces the change. Lock order: the job's row, then its trials.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Unpack

from sqlalchemy import Connection, Update, select, update

from stepsize.clock import now
from stepsize.domain import pruning
from stepsize.domain.job import ALLOWED as ALLOWED_JOB
from stepsize.domain.job import Job, JobReason, JobState
from stepsize.domain.lease import Lease
from stepsize.domain.trial import ALLOWED as ALLOWED_TRIAL
from stepsize.domain.trial import Report, TrialGroup, TrialPurpose, TrialState
from stepsize.errors import JobNotFoundError, LeaseLostError, StateConflictError
from stepsize.spec.provenance import Provenance
from stepsize.spec.resolved import ResolvedJobSpec, recall
from stepsize.spec.space import Scalar
from stepsize.store.answers import StoredAnswer
from stepsize.store.best import find_best
from stepsize.store.columns import JobColumns, RequeueColumns, TrialColumns
from stepsize.store.models import reports, trials
from stepsize.store.provenances import add_provenance
from stepsize.store.rows import job_from_row
from stepsize.store.statements import (
    COUNT_TRIALS,
    NOTIFY,
    TAKE,
    TAKE_LEASED,
    UPSERT_ANSWER,
    UPSERT_REPORT,
    as_new,
    update_job,
    update_trial,
)
from stepsize.store.trials import steps_reported
from stepsize.store.under_way import UnderWay

_MOST_REPORTS = 1000
"""Looked at while the job's row is locked; a job with more of them by its first trials is not said to report seldom."""


@dataclass(frozen=True)
class NewTrial:
    """A trial about to be recorded."""

    number: int
    state: TrialState
    params: Mapping[str, Scalar]
    seed: int
    study_attrs: Mapping[str, object] | None = None
    cell: int | None = None
    enqueued: bool = False
    confirms: bool = False
    """Whether it is to check the job's answer."""
    replicate_of: int | None = None
    worker: str | None = None
    device: str | None = None
    group: TrialGroup | None = None
    on_offer: bool = False
    """Whether any client that asks may be given it."""

    @property
    def purpose(self) -> TrialPurpose:
        if self.replicate_of is not None:
            return TrialPurpose.REPLICATE
        return TrialPurpose.CONFIRM if self.confirms else TrialPurpose.SEARCH

    def row(self, job: Job, change: int, time: float) -> dict[str, Any]:
        """Return what is recorded of it, as a trial of this job that comes with this change."""
        is_running = self.state is TrialState.RUNNING
        return {
            "job_id": job.id,
            "number": self.number,
            "project": job.project,
            "state": self.state,
            "params": dict(self.params),
            "values": {},
            "study_attrs": dict(self.study_attrs or {}),
            "cell": self.cell,
            "enqueued": self.enqueued,
            "cancel_requested": False,
            "attempt": int(is_running),
            "purpose": self.purpose,
            "replicate_of": self.replicate_of,
            "seed": self.seed,
            "worker": self.worker,
            "device": self.device,
            "lease_token": int(self.on_offer),
            "created_at": time,
            "started_at": time if is_running else None,
            "gpu_seconds": 0.0,
            "group": asdict(self.group) if self.group else None,
            "artifacts": [],
            "change": change,
        }


@dataclass(frozen=True)
class Move:
    """A trial that goes to another state, and what is set with that."""

    number: int
    to: TrialState
    columns: TrialColumns


class Ledger:
    """An open transaction on one job. Get one from `open_ledger`."""

    def __init__(self, connection: Connection, job: Job) -> None:
        self._connection = connection
        self.job = job
        """The job as it was when the lock was taken, with `change` already this transaction's own; after `close`, the
        job as this transaction leaves it."""
        self.change = job.change
        self.under_way = UnderWay(connection, job.id)
        self._deltas: Counter[TrialState] = Counter()
        self._n_inserted = 0
        self._recount = False
        self._gpu_seconds = 0.0
        self._job_columns: dict[str, Any] = {}
        self._state_changed = False
        self._best_stale = False

    def insert_trials(self, new_trials: Sequence[NewTrial]) -> None:
        """Record new trials.

        Raises:
            sqlalchemy.exc.IntegrityError: a number or a grid cell is in the record already.
        """
        if not new_trials:
            return
        time = now()
        self._connection.execute(trials.insert(), [trial.row(self.job, self.change, time) for trial in new_trials])
        self._deltas.update(trial.state for trial in new_trials)
        self._n_inserted += len(new_trials)
        self._recount |= any(trial.purpose is not TrialPurpose.SEARCH for trial in new_trials)
        self._state_changed = True

    def move_trial(
        self,
        number: int,
        have: TrialState,
        to: TrialState,
        *,
        gpu_seconds: float = 0.0,
        **columns: Unpack[TrialColumns],
    ) -> bool:
        """Move a trial from one state to another, setting other columns with it; False: it was not in that state.

        Args:
            gpu_seconds: what its attempt used of a device, added to the trial's account and the job's.
        """
        statement, row = self._moving(have, Move(number, to, columns), gpu_seconds=gpu_seconds)
        moved = self._connection.execute(statement, row).rowcount
        if moved:
            self._gpu_seconds += gpu_seconds
            self._note_move(have, to)
        return bool(moved)

    def move_each(self, have: TrialState, moves: Sequence[Move]) -> None:
        """Move trials that this transaction has seen in a state, those that are moved alike by one statement."""
        rows: dict[Update, list[dict[str, Any]]] = defaultdict(list)
        for move in moves:
            statement, row = self._moving(have, move)
            rows[statement].append(row)
        for statement, its_rows in rows.items():
            self._connection.execute(statement, its_rows)
        for move in moves:
            self._note_move(have, move.to)

    def _moving(self, have: TrialState, move: Move, *, gpu_seconds: float = 0.0) -> tuple[Update, dict[str, Any]]:
        """Return the statement that moves a trial, if it is in the state `have`, and its parameters."""
        assert move.to in ALLOWED_TRIAL[have], f"a trial never goes from {have} to {move.to}"
        new = {**move.columns, "state": move.to, "change": self.change}
        if move.to.is_finished:
            new.setdefault("finished_at", now())
        of_trial = {"of_job": self.job.id, "of_number": move.number, "of_state": have, "more_gpu_seconds": gpu_seconds}
        return update_trial(frozenset(new), guarded=True), of_trial | as_new(new)

    def _note_move(self, have: TrialState, to: TrialState) -> None:
        self._deltas[have] -= 1
        self._deltas[to] += 1
        self._state_changed = True
        self._best_stale |= TrialState.COMPLETED in (have, to)
        self._recount |= TrialState.CANCELLED in (have, to)

    def move_trials(self, have: Iterable[TrialState], to: TrialState, **columns: Unpack[TrialColumns]) -> list[int]:
        """Move every trial that is in one of the states `have`; return their numbers."""
        moved: list[int] = []
        for state in have:
            numbers = self._connection.scalars(
                select(trials.c.number).where(trials.c.job_id == self.job.id, trials.c.state == state)
            ).all()
            moved += [number for number in numbers if self.move_trial(number, state, to, **columns)]
        return moved

    def requeue_trial(
        self, number: int, *, gpu_seconds: float = 0.0, checkpoint_step: int | None, **columns: Unpack[RequeueColumns]
    ) -> bool:
        """Queue an interrupted trial again, to go on from its checkpoint; False: it was not running.

        A queued trial has no worker and no device, and what it reported after its checkpoint it will report again.
        """
        self.forget_reports(number, after_step=-1 if checkpoint_step is None else checkpoint_step)
        return self.move_trial(
            number,
            TrialState.RUNNING,
            TrialState.QUEUED,
            gpu_seconds=gpu_seconds,
            checkpoint_step=checkpoint_step,
            step=checkpoint_step,
            values={},
            worker=None,
            device=None,
            **columns,
        )

    def touch_trial(self, number: int, **columns: Unpack[TrialColumns]) -> None:
        """Set columns of a trial without a change of its state."""
        statement = update_trial(frozenset({"change", *columns}), guarded=False)
        of_trial = {"of_job": self.job.id, "of_number": number}
        self._connection.execute(statement, {**of_trial, **as_new({"change": self.change, **columns})})

    def touch_trials(self, numbers: Iterable[int], **columns: Unpack[TrialColumns]) -> None:
        """Set the same columns of several trials."""
        for number in numbers:
            self.touch_trial(number, **columns)

    def offer_trial(self, number: int, **columns: Unpack[TrialColumns]) -> bool:
        """Let clients be given a queued trial, its parameters now complete; False: it is queued no more."""
        new = {**columns, "lease_token": 1, "change": self.change}
        statement = update_trial(frozenset(new), guarded=True)
        of_trial = {"of_job": self.job.id, "of_number": number, "of_state": TrialState.QUEUED, "more_gpu_seconds": 0.0}
        return bool(self._connection.execute(statement, of_trial | as_new(new)).rowcount)

    def give_stand_ins(self, values: Sequence[float]) -> None:
        """Give every infeasible trial that has no stand-in yet the first feasible values as one."""
        self._connection.execute(
            update(trials)
            .where(
                trials.c.job_id == self.job.id,
                trials.c.state == TrialState.INFEASIBLE,
                trials.c.stand_in.is_(None),
            )
            .values(stand_in=list(values), change=self.change)
        )

    def add_reports(self, new_reports: Sequence[Report]) -> None:
        """Record measurements; a step reported again (by a later attempt) takes the later values."""
        if not new_reports:
            return
        rows = [
            {
                "job_id": self.job.id,
                "number": report.number,
                "step": report.step,
                "project": self.job.project,
                "values": report.values,
                "elapsed_s": report.elapsed_s,
                "change": self.change,
            }
            for report in new_reports
        ]
        self._connection.execute(UPSERT_REPORT[self._connection.dialect.name], rows)

    def forget_reports(self, number: int, *, after_step: int) -> None:
        """Drop the reports an interrupted attempt made after its checkpoint: the next attempt makes them again."""
        self._connection.execute(
            reports.delete().where(
                reports.c.job_id == self.job.id, reports.c.number == number, reports.c.step > after_step
            )
        )

    def move_job(self, to: JobState, reason: JobReason | None = None, **columns: Unpack[JobColumns]) -> None:
        """Move the job to another state.

        Raises:
            StateConflictError: there is no such transition.
        """
        have = JobState(self._job_columns.get("state", self.job.state))
        if to is have and reason == self.job.reason and not columns:
            return
        if to is not have and to not in ALLOWED_JOB[have]:
            raise StateConflictError(f"a {have} job can't become {to}", state=have)
        self._job_columns |= {"state": to, "reason": reason, **columns}
        if to.is_finished or to is JobState.QUEUED:
            self._job_columns["finished_at"] = now() if to.is_finished else None
        self._state_changed = True

    def set_job(self, **columns: Unpack[JobColumns]) -> None:
        """Set columns of the job that clients see (labels, priority, spec, desired …)."""
        self._job_columns |= columns
        self._state_changed = True

    def set_answer(self, found: StoredAnswer) -> None:
        """Put the job's answer in the place of the one before it; clients see it with the job."""
        row = {
            "job_id": self.job.id,
            "project": self.job.project,
            "speaks_of": found.speaks_of,
            "is_final": found.is_final,
            "answer": found.answer.model_dump(mode="json"),
            "report": found.report,
        }
        self._connection.execute(UPSERT_ANSWER[self._connection.dialect.name], row)
        self._state_changed = True

    def note_provenance(self, found: Provenance) -> str:
        """Record what trials came from and return its id; a job whose trials differ in that warns of it."""
        known = self._job_columns.get("provenances", self.job.provenances)
        warnings = self._job_columns.get("warnings", self.job.warnings)
        if columns := add_provenance(self._connection, found, known, warnings, project=self.job.project):
            self.set_job(**columns)
        return found.id

    def note_asking(self, n_clients: int) -> None:
        """Set how many clients wait with nothing on offer for them; no news to those who look at the job."""
        self._job_columns["n_asking"] = n_clients

    def release_lease(self) -> None:
        """Give the job back so that any worker may claim it."""
        self._job_columns |= {"lease_owner": None, "lease_expires_at": None}

    def close(self) -> None:
        """Write what the moves imply for the job's own row, and announce the change."""
        before = self.job
        counts = {state: n + self._deltas[state] for state, n in before.counts.items()}
        n_trials = before.n_trials + self._n_inserted
        if before.counts[TrialState.COMPLETED] < pruning.N_TRIALS <= counts[TrialState.COMPLETED]:
            self._warn_of_idle_pruner()
        # The row is locked, so what was read when the lock was taken is still so.
        columns = dict(self._job_columns)
        columns |= {f"n_{state}": counts[state] for state, delta in self._deltas.items() if delta}
        if self._n_inserted:
            columns["n_trials"] = n_trials
        if self._recount:
            columns |= _counted(self._connection, before.id)
        elif self._n_inserted:
            columns["n_counted"] = before.n_counted + self._n_inserted
        if self._gpu_seconds:
            columns["gpu_seconds"] = before.gpu_seconds + self._gpu_seconds
        if self._best_stale:
            columns["best_trial"] = find_best(self._connection, before)
        if self._state_changed:
            columns["revision"] = self.change
        self.job = _left(before, columns, counts)
        if columns:
            statement = update_job(frozenset(columns))
            self._connection.execute(statement, {"of_job": before.id, **as_new(columns)})
        announce(self._connection, before.id)

    def _warn_of_idle_pruner(self) -> None:
        """Say so where the first trials left the pruner nothing to judge, unless that was seen at submission."""
        spec = self.job.spec
        warnings = self._job_columns.get("warnings", self.job.warnings)
        if not spec.pruner.judges or any(pruning.NEVER in warning for warning in warnings):
            return
        metric = spec.objectives[0].metric
        steps = steps_reported(self._connection, self.job.id, metric, most=_MOST_REPORTS)
        if len(steps) < _MOST_REPORTS and (warning := pruning.why_idle(spec.pruner, metric, steps)):
            self.set_job(warnings=[*warnings, warning])


def _counted(connection: Connection, job_id: str) -> dict[str, int]:
    """Count what `max_trials` counts, where others than those of the search have come, or cancelled ones gone."""
    counted = dict.fromkeys(TrialPurpose, 0)
    for purpose, n in connection.execute(COUNT_TRIALS, {"of_job": job_id}):
        counted[TrialPurpose(purpose)] = n
    n_confirming = counted[TrialPurpose.CONFIRM]
    return {"n_counted": counted[TrialPurpose.SEARCH] + n_confirming, "n_confirming": n_confirming}


def _left(before: Job, columns: Mapping[str, Any], counts: dict[TrialState, int]) -> Job:
    """Return a job as a transaction leaves it that sets these columns of its row."""
    left = {name: value for name, value in columns.items() if name in _JOB_FIELDS}
    if "spec" in left:
        left["spec"] = recall(ResolvedJobSpec, left["spec"])
    if "warnings" in left:
        left["warnings"] = tuple(left["warnings"])
    if "provenances" in left:
        left["provenances"] = tuple(left["provenances"])
    if "lease_expires_at" in columns:  # given back: the only thing a transaction does to a lease
        left["lease_live"] = False
    return replace(before, **left, counts=counts)


_JOB_FIELDS = {field.name for field in fields(Job)}


@contextmanager
def open_ledger(connection: Connection, job_id: str, *, project: str = "default") -> Iterator[Ledger]:
    """Open a transaction on a job for a client's request.

    Raises:
        JobNotFoundError: no such job.
    """
    row = connection.execute(TAKE, {"of_job": job_id, "of_project": project}).one_or_none()
    if row is None:
        raise JobNotFoundError(job_id)
    ledger = Ledger(connection, job_from_row(row))
    yield ledger
    ledger.close()


@contextmanager
def open_leased_ledger(connection: Connection, lease: Lease, *, work_s: float | None = None) -> Iterator[Ledger]:
    """Open a transaction on a job for the worker that holds its lease.

    Args:
        work_s: seconds of work that the job has had; None: what the record says.

    Raises:
        LeaseLostError: the lease has expired or another worker holds the job; nothing may be written.
    """
    of_job = {"of_job": lease.job_id, "of_token": lease.token, "of_work_s": work_s}
    row = connection.execute(TAKE_LEASED, of_job).one_or_none()
    if row is None:
        raise LeaseLostError(f"job {lease.job_id}", lease.token)
    ledger = Ledger(connection, job_from_row(row))
    yield ledger
    ledger.close()


def announce(connection: Connection, job_id: str) -> None:
    """Tell listeners of the job's change once this transaction commits (SQLite's data_version does so by itself)."""
    if connection.dialect.name == "postgresql":
        connection.execute(NOTIFY, {"of_job": job_id})
