"""A job as files of formats that need libraries: an Optuna journal, a Parquet file."""

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState

from stepsize.analysis.distributions import distribution, shown
from stepsize.domain.evidence import Curve, Evidence
from stepsize.domain.trial import TrialState as OurState
from stepsize.spec.space import Scalar

_STATES = {
    OurState.COMPLETED: TrialState.COMPLETE,
    OurState.PRUNED: TrialState.PRUNED,
    OurState.INFEASIBLE: TrialState.FAIL,
    OurState.FAILED: TrialState.FAIL,
    OurState.CANCELLED: TrialState.FAIL,
}
"""Infeasible trials have no value: FAIL, without the stand-in that the search was told."""


class _Memory(BaseJournalBackend):
    """A journal in memory. Optuna's SQLite storage needs 67 ms a trial (measured), this 0.3."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        return iter(self.logs[log_number_from:])


def write_optuna(path: Path, evidence: Evidence, curves: Sequence[Curve]) -> None:
    """Write a journal that `JournalStorage(JournalFileBackend(path))` and optuna-dashboard open.

    The study has the job's id for a name. Each trial carries its number, state and reason here as user attributes.
    """
    reported = {curve.number: dict(zip(curve.steps, curve.values, strict=True)) for curve in curves}
    memory = _Memory()
    study = optuna.create_study(
        study_name=evidence.job_id,
        storage=JournalStorage(memory),
        directions=[objective.direction.value for objective in evidence.objectives],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([objective.metric for objective in evidence.objectives])
    study.set_user_attr("stepsize", {"job": evidence.job_id, "name": evidence.job_name, "trainer": evidence.trainer})
    study.add_trials(_freeze_all(evidence, reported))
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(log, separators=(",", ":")) + "\n" for log in memory.logs)


def write_parquet(path: Path, chunks: Iterable[Sequence[Mapping[str, Scalar | None]]]) -> None:
    """Write rows as a Parquet file; a column of mixed kinds (a number here, a word there) becomes text."""
    rows = [row for chunk in chunks for row in chunk]
    names = list(dict.fromkeys(name for row in rows for name in row))
    pq.write_table(pa.table({name: _column([row.get(name) for row in rows]) for name in names}), path)


def _freeze_all(evidence: Evidence, reported: Mapping[int, Mapping[int, float]]) -> Iterator[FrozenTrial]:
    for row, state in enumerate(evidence.trials.state):
        if OurState(state) in _STATES:  # the others run still
            yield _freeze(evidence, row, reported)


def _freeze(evidence: Evidence, row: int, reported: Mapping[int, Mapping[int, float]]) -> FrozenTrial:
    trials = evidence.trials
    state = _STATES[OurState(trials.state[row])]
    params = {name: value for name, value in trials.params[row].items() if name in evidence.space}
    values = [trials.values[row].get(objective.metric, math.nan) for objective in evidence.objectives]
    if state is TrialState.COMPLETE and not all(map(math.isfinite, values)):
        state = TrialState.FAIL
    ended = _time(trials.finished_at[row])
    return FrozenTrial(
        number=row,
        trial_id=row,
        state=state,
        value=None,
        values=values if state is TrialState.COMPLETE else None,
        datetime_start=_time(trials.started_at[row]) or ended,
        datetime_complete=ended,
        params={name: shown(evidence.space[name], value) for name, value in params.items()},
        distributions={name: distribution(evidence.space[name]) for name in params},
        intermediate_values=dict(reported.get(trials.number[row], {})),
        system_attrs={},
        user_attrs={
            "number": trials.number[row],
            "state": trials.state[row],
            "reason": trials.reason[row],
            "replicate_of": trials.replicate_of[row],
            "params": trials.params[row],
        },
    )


def _time(unix_s: float | None) -> datetime | None:
    """Return a time as Optuna keeps it: local, without a zone."""
    return None if unix_s is None else datetime.fromtimestamp(unix_s, UTC).astimezone().replace(tzinfo=None)


def _column(values: Sequence[Scalar | None]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.array([None if value is None else float(value) for value in values], type=pa.float64())
    if len(kinds) > 1:
        return pa.array([None if value is None else str(value) for value in values], type=pa.string())
    return pa.array(values)
