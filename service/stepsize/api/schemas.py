"""What the API sends: the JSON of jobs, trials, reports, workers and the catalogue."""

from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, WithJsonSchema

from stepsize.application.catalogue import SpecEntry, TrainerEntry
from stepsize.application.jobs import JobReading
from stepsize.application.progress import LimitedBy
from stepsize.application.submission import Resolution
from stepsize.application.workers import WorkerReading
from stepsize.clock import rfc3339
from stepsize.domain.answer import Answer as JobAnswer
from stepsize.domain.answer import Words
from stepsize.domain.estimate import Estimate
from stepsize.domain.job import Desired, JobReason, JobState
from stepsize.domain.trainer import Capabilities, Metric
from stepsize.domain.trial import GroupHow, Report, Trial, TrialBrief, TrialGroup, TrialPurpose, TrialReason, TrialState
from stepsize.spec.objective import Objective
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.samplers import Supports
from stepsize.spec.schedules import PreviewPoint
from stepsize.spec.space import Scalar, SearchSpace

T = TypeVar("T")
_LINKED = ("trials", "best", "events", "curves", "report", "export")
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339, UTC."""


class Answer(BaseModel):
    """The base of everything sent. Fields may be added in later versions; ignore those you don't know."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class PageOut(Answer, Generic[T]):
    """One page of a list."""

    # Said in full: to look for the docstrings of a class that is made on the fly, pydantic goes through the whole
    # stack, at every kind of page, which was a tenth of the time the API takes to start.
    model_config = ConfigDict(use_attribute_docstrings=False)

    items: list[T]
    next_page_token: str | None = Field(
        default=None, description="Give it as `page_token` for the next page; null on the last."
    )


class TrialSummaryOut(Answer):
    """A trial in brief."""

    id: str
    number: int
    params: dict[str, Scalar]
    values: dict[str, float]

    @classmethod
    def of(cls, trial: Trial | TrialBrief) -> Self:
        return cls(id=trial.id, number=trial.number, params=trial.params, values=trial.values)


class TrialErrorOut(Answer):
    """What went wrong; the traceback is in the trial's log."""

    type: str
    message: str


class TrialGroupOut(Answer):
    """With which other trials a trial is trained as one, and why or why not."""

    id: str
    """Trials of one job that share it are trained together; the number of the first."""
    size: int
    """How many there were when it came, itself included."""
    how: GroupHow
    """`fused`: as one with them; `alone`: trials like it can't be, or are no faster so; `apart`: its group ended, and
    nobody can say through which of its trials; `measuring`: how many are fastest is being measured before it trains."""
    why: str

    @classmethod
    def of(cls, group: TrialGroup) -> Self:
        return cls(id=group.id, size=group.size, how=group.how, why=group.why)


class TrialOut(Answer):
    """One training run with fixed parameters."""

    id: str
    job_id: str
    number: int
    """Counts from 0 within the job."""
    state: TrialState
    reason: TrialReason | None
    """Why it ended as it did."""
    params: dict[str, Scalar]
    """The searched parameters that apply to this trial."""
    values: dict[str, float]
    """Metric → last reported value."""
    step: int | None
    """Last reported step, in the trainer's unit."""
    attempt: int
    """Starts so far."""
    losses_of_worker: int
    """Of these, how many ended because their worker went; they don't use up `max_attempts`."""
    purpose: TrialPurpose
    """`search`: to find good parameters; `confirm`: to check the answer; `replicate`: one of the best again."""
    replicate_of: int | None
    seed: int
    device: str | None
    worker: str | None
    started_at: Time | None
    finished_at: Time | None
    duration_s: float | None
    """From its last start to its end; null until it has ended."""
    gpu_seconds: float
    group: TrialGroupOut | None
    """Null where its job trains each trial alone (`resources.fuse: 1`), and before its first start."""
    data_hash: str | None
    """Identifies the data it was trained on, where its trainer says so."""
    provenance: str | None
    """Identifies the code, the packages and the machine it ran with; `…/provenance` of its job says what they were."""
    remark: str | None
    """What its trainer has to say about how it went, such as that it learned nothing; null where that is nothing."""
    error: TrialErrorOut | None
    artifacts: list[str]
    """Names of files; get them at `…/artifacts/{name}`."""

    @classmethod
    def of(cls, trial: Trial) -> Self:
        ended = trial.started_at is not None and trial.finished_at is not None
        return cls(
            id=trial.id,
            job_id=trial.job_id,
            number=trial.number,
            state=trial.state,
            reason=trial.reason,
            params=trial.params,
            values=trial.values,
            step=trial.step,
            attempt=trial.attempt,
            losses_of_worker=trial.losses_of_worker,
            purpose=trial.purpose,
            replicate_of=trial.replicate_of,
            seed=trial.seed,
            device=trial.device,
            worker=trial.worker,
            started_at=_time(trial.started_at),
            finished_at=_time(trial.finished_at),
            duration_s=max(0.0, (trial.finished_at or 0.0) - (trial.started_at or 0.0)) if ended else None,
            gpu_seconds=trial.gpu_seconds,
            group=TrialGroupOut.of(trial.group) if trial.group else None,
            data_hash=trial.data_hash,
            provenance=trial.provenance,
            remark=trial.remark,
            error=TrialErrorOut(type=trial.error.type, message=trial.error.message) if trial.error else None,
            artifacts=list(trial.artifacts),
        )


class SingleTrialOut(TrialOut):
    """A trial with all it was trained with."""

    fixed_params: dict[str, Scalar]
    """The parameters that its job fixes, by choice or by default: those that apply beside `params`."""

    @classmethod
    def of_trial(cls, trial: Trial, fixed_params: dict[str, Scalar]) -> Self:
        return cls(**dict(TrialOut.of(trial)), fixed_params=fixed_params)


class ReportOut(Answer):
    """One measurement of a trial."""

    number: int
    """The trial's."""
    step: int
    values: dict[str, float]
    elapsed_s: float
    """Seconds since the attempt began."""

    @classmethod
    def of(cls, report: Report) -> Self:
        return cls(number=report.number, step=report.step, values=report.values, elapsed_s=report.elapsed_s)


class ProgressOut(Answer):
    """How far a job is."""

    counts: dict[TrialState, int]
    """Trials by state."""
    total: int
    """Trials recorded."""
    max_trials: int | None
    confirm_trials: int
    """Of these, how many check the answer or are kept to."""
    fraction: float | None
    """Share of max_trials that has ended."""
    eta_s: float | None
    """Seconds left at the pace so far; null where that can't be said."""
    limited_by: LimitedBy | None
    """Why no more trials run at once; null: nothing limits them. `answer`: all have ended, and the job's answer is
    being computed."""


class JobOut(Answer):
    """A tuning job."""

    id: str
    kind: str
    name: str
    labels: dict[str, str]
    priority: int
    state: JobState
    reason: JobReason | None
    """Why it is in its state; `no_worker`: nobody alive can run it."""
    error: str | None
    """What failed it."""
    advice: str | None
    """What stands in its way, since when, and what to do about it; null: nothing does."""
    desired: Desired
    """What was last asked of it; the worker that holds it moves `state`."""
    # Checked when they were recorded; what a later version would refuse must not make a list fail.
    spec: SkipValidation[ResolvedJobSpec]
    """The specification with every default written back; it posts back unchanged."""
    warnings: list[str]
    search_space_resolved: SkipValidation[SearchSpace]
    """The search space in use."""
    progress: ProgressOut
    answer: SkipValidation[JobAnswer] | None
    """Which learning rate to use, and how sure that is, as far as the trials tell; null: no trial has ended yet, or the
    job searches nothing."""
    best: TrialSummaryOut | None
    """The best completed trial; null with several objectives."""
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    work_s: float
    """Seconds of work: waiting, pauses and time without a worker don't count. Written with every report, and at least
    every ten seconds."""
    revision: int
    """Rises with every change of a state; the ETag follows it."""
    change: int
    """Rises with every change, reports too; ids of events are changes."""
    links: dict[str, str]

    @classmethod
    def of(cls, reading: JobReading) -> Self:
        job, here = reading.job, f"/v1/jobs/{reading.job.id}"
        return cls(
            id=job.id,
            kind=job.kind,
            name=job.name,
            labels=job.labels,
            priority=job.priority,
            state=job.state,
            reason=reading.reason,
            error=job.error,
            advice=reading.advice,
            desired=job.desired,
            spec=job.spec,
            warnings=list(job.warnings),
            search_space_resolved=job.search_space,
            progress=ProgressOut.model_validate(reading.progress, from_attributes=True),
            answer=reading.answer,
            best=TrialSummaryOut.of(reading.best) if reading.best else None,
            created_at=rfc3339(job.created_at),
            started_at=_time(job.started_at),
            finished_at=_time(job.finished_at),
            work_s=round(job.work_s, 3),
            revision=job.revision,
            change=job.change,
            links={"self": here, **{name: f"{here}/{name}" for name in _LINKED}},
        )


class AnswerBriefOut(Answer):
    """A job's answer, as far as a list shows it."""

    words: Words
    learning_rate: SkipValidation[Estimate]
    batch_size: int | None
    missing_trials: int | None


class JobBriefOut(Answer):
    """What changes of a job while it runs; the rest of it as it was read."""

    id: str
    kind: str
    state: JobState
    reason: JobReason | None
    progress: ProgressOut
    answer: AnswerBriefOut | None
    best: TrialSummaryOut | None
    started_at: Time | None
    finished_at: Time | None
    revision: int
    change: int

    @classmethod
    def of(cls, reading: JobReading) -> Self:
        job, told = reading.job, reading.answer
        return cls(
            id=job.id,
            kind=job.kind,
            state=job.state,
            reason=reading.reason,
            progress=ProgressOut.model_validate(reading.progress, from_attributes=True),
            answer=AnswerBriefOut.model_validate(told, from_attributes=True) if told else None,
            best=TrialSummaryOut.of(reading.best) if reading.best else None,
            started_at=_time(job.started_at),
            finished_at=_time(job.finished_at),
            revision=job.revision,
            change=job.change,
        )


class DryRunOut(Answer):
    """What a submission would record."""

    spec: ResolvedJobSpec
    cells: int | None
    """Cells of the grid; null: the sampler is not a grid."""
    confirm_trials: int
    """How many of `max_trials` are kept to check the answer."""
    warnings: list[str]

    @classmethod
    def of(cls, resolution: Resolution) -> Self:
        return cls(
            spec=resolution.spec,
            cells=resolution.total_cells,
            confirm_trials=resolution.n_confirming,
            warnings=list(resolution.warnings),
        )


class TrainerOut(Answer):
    """A trainer, and the ids of the living workers that offer it."""

    name: str
    version: str
    help: str
    params_schema: dict[str, Any]
    """JSON Schema of its parameters; `x-when`: the parameter applies only under these values of another."""
    metrics: list[Metric]
    step_unit: str
    default_search_space: SearchSpace
    default_objectives: list[Objective]
    capabilities: Capabilities
    workers: list[str]

    @classmethod
    def of(cls, entry: TrainerEntry) -> Self:
        card = entry.card
        return cls(
            name=card.name,
            version=card.version,
            help=card.help,
            params_schema=card.params_schema,
            metrics=card.metrics,
            step_unit=card.step_unit,
            default_search_space=card.default_search_space,
            default_objectives=card.default_objectives,
            capabilities=card.capabilities,
            workers=list(entry.workers),
        )


class SpecEntryOut(Answer):
    """Something a job may name, with its parameters."""

    name: str
    help: str
    params_schema: dict[str, Any]

    @classmethod
    def of(cls, entry: SpecEntry) -> Self:
        return cls(name=entry.name, help=entry.help, params_schema=entry.params_schema)


class SamplerOut(SpecEntryOut):
    """A sampler, its parameters, and what it can model."""

    supports: Supports

    @classmethod
    def of(cls, entry: SpecEntry) -> Self:
        assert entry.supports is not None, "every sampler says what it supports"
        return cls(name=entry.name, help=entry.help, params_schema=entry.params_schema, supports=entry.supports)


class PreviewOut(Answer):
    """The learning rate over a training."""

    points: list[PreviewPoint]


class SlotOut(Answer):
    """One place a trial can run."""

    index: int
    device: str
    gpus: float
    cpus: int


class OfferOut(Answer):
    """A trainer a worker offers."""

    name: str
    version: str


class RunningTrialOut(Answer):
    """A trial that runs now, and where."""

    job_id: str
    number: int
    device: str | None
    group: TrialGroupOut | None
    """With which others it is trained, and why or why not; null where its job trains each trial alone."""


class WorkerOut(Answer):
    """A worker: its slots, its trainers, and what it runs."""

    id: str
    host: str
    pid: int
    version: str
    alive: bool
    """Seen within the last lease."""
    slots: list[SlotOut]
    trainers: list[OfferOut]
    running: list[RunningTrialOut]
    started_at: Time
    last_seen: Time

    @classmethod
    def of(cls, reading: WorkerReading) -> Self:
        worker = reading.worker
        return cls(
            id=worker.id,
            host=worker.host,
            pid=worker.pid,
            version=worker.version,
            alive=worker.alive,
            slots=[
                SlotOut(index=slot.index, device=slot.device, gpus=slot.gpus, cpus=slot.cpus) for slot in worker.slots
            ],
            trainers=[OfferOut(name=card.name, version=card.version) for card in worker.trainers],
            running=[
                RunningTrialOut(
                    job_id=trial.job_id,
                    number=trial.number,
                    device=trial.device,
                    group=TrialGroupOut.of(trial.group) if trial.group else None,
                )
                for trial in reading.running
            ],
            started_at=rfc3339(worker.started_at),
            last_seen=rfc3339(worker.last_seen),
        )


class HealthOut(Answer):
    """All is well."""

    status: Literal["ok"] = "ok"


class FieldErrorOut(Answer):
    """One wrong field."""

    pointer: str
    """JSON Pointer into the body; `?name` is a query parameter, `{name}` a part of the path, else a header."""
    message: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    type: str
    """Names the kind of problem for programs."""
    title: str
    """Names it for people."""
    status: int
    detail: str
    """What went wrong here, and what to do about it."""
    instance: str
    """The path asked for."""
    errors: list[FieldErrorOut] = Field(default_factory=list)
    """With status 422: each wrong field."""
    correlation_id: str | None = None
    """With status 500: what to look for in the service's log."""


def _time(unix_s: float | None) -> str | None:
    return None if unix_s is None else rfc3339(unix_s)
