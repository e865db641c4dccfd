"""What can be set of a job and of a trial beside their states: the columns that a ledger's updates take."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from stepsize.domain.job import Desired
from stepsize.domain.trial import TrialReason
from stepsize.spec.space import Scalar


class ErrorColumn(TypedDict):
    """Why a trial failed, as the record has it."""

    type: str
    message: str


class JobColumns(TypedDict, total=False):
    """Of a job; see `stepsize.domain.job.Job`."""

    labels: Mapping[str, str]
    priority: int
    spec: Mapping[str, object]
    desired: Desired
    error: str | None
    warnings: Sequence[str]
    provenances: Sequence[str]
    findings: Mapping[str, object] | None


class LossColumns(TypedDict, total=False):
    """Attempts that a trial lost with its worker."""

    losses_of_worker: int
    losses_in_a_row: int


class GroupColumn(TypedDict, total=False):
    """With which others a trial is trained."""

    group: Mapping[str, object] | None


class RequeueColumns(LossColumns, GroupColumn, total=False):
    """What changes with a trial that waits again."""


class TrialColumns(RequeueColumns, total=False):
    """Of a trial; see `stepsize.domain.trial.Trial`."""

    reason: TrialReason | None
    error: ErrorColumn | None
    params: Mapping[str, Scalar]
    values: Mapping[str, float]
    objective: float | None
    stand_in: Sequence[float] | None
    study_attrs: Mapping[str, object]
    cell: int | None
    step: int | None
    checkpoint_step: int | None
    judged_step: int | None
    attempt: int
    cancel_requested: bool
    worker: str | None
    device: str | None
    lease_token: int
    lease_expires_at: float | None
    lease_s: float | None
    data_hash: str | None
    remark: str | None
    provenance: str
    artifacts: Sequence[str]
    started_at: float | None
    finished_at: float | None
