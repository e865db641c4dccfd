"""What the service sends, as models. Fields a newer service adds are kept, not refused."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue

from stepsize.client.display import answer_html, estimate_text, job_html, job_line, trial_html
from stepsize.spec.objective import Objective
from stepsize.spec.space import Scalar

FINISHED = frozenset({"completed", "failed", "cancelled"})
"""States in which a job stays unless someone retries it or enlarges its budget."""


class Answer(BaseModel):
    """The base of all of them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def __str__(self) -> str:
        return repr(self)


class Progress(Answer):
    """How far a job is."""

    counts: dict[str, int]
    total: int
    max_trials: int | None = None
    fraction: float | None = None
    eta_s: float | None = None
    limited_by: str | None = None

    @property
    def n_finished(self) -> int:
        """Trials that ended and count towards `max_trials`: all but the cancelled."""
        return self.total - sum(self.counts.get(state, 0) for state in ("queued", "running", "cancelled"))

    @property
    def is_answering(self) -> bool:
        """Whether no trial is left to run, and the job's answer is being computed."""
        return self.limited_by == "answer"


class TrialError(Answer):
    """What went wrong in a trial; the traceback is in its log."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    @property
    def line(self) -> str:
        """The same on one line."""
        return " ".join(str(self).split())


class TrialSummary(Answer):
    """A trial as it stands in its job's `best`."""

    number: int
    params: dict[str, Scalar]
    values: dict[str, float]

    def __repr__(self) -> str:
        return f"<Trial {self.number}: {self._tried()}; {self._measured()}>"

    def _tried(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.params.items())

    def _measured(self) -> str:
        return ", ".join(f"{name}={value:.4g}" for name, value in self.values.items()) or "nothing reported"


class Estimate(Answer):
    """A number with its 95 % interval; null where that can't be said, and the caveat says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    caveat: str | None = None
    is_guess: bool = False
    """Extrapolated, or from fewer than three trials: the caveat says which."""

    def __repr__(self) -> str:
        return estimate_text(self.value, self.low, self.high) + (" (a guess)" if self.is_guess else "")


class ValleyPoint(Answer):
    """One point of a small picture of the valley: the objective's mean over fresh trainings at a rate."""

    learning_rate: float
    value: Estimate


class Alternative(Answer):
    """A choice that can't be told from the one that is recommended, or that the best trial made."""

    parameter: str
    choice: Scalar
    learning_rate: float


class JobAnswer(Answer):
    """Which learning rate to use, and how sure that is. It stands before the best trial, which owes much to luck."""

    sentence: str
    words: str
    """`well_supported`, `fairly_sure`, `low`, or `none`: nothing is recommended."""
    learning_rate: Estimate
    batch_size: int | None = None
    choices: dict[str, Scalar] = {}
    alternatives: list[Alternative] = []
    """All that may be the best of a parameter whose choices can't be told apart, most promising first."""
    value: Estimate | None = None
    """What the objective promises to be at that rate."""
    confirmed: Estimate | None = None
    """What it was in the trials that checked the answer."""
    missing_trials: int | None = None
    caveats: list[str] = []
    valley: list[ValleyPoint] = []
    """Lowest rate first; empty where there is none."""

    def __repr__(self) -> str:
        return f"<JobAnswer: {self.sentence}>"

    def _repr_html_(self) -> str:
        return answer_html(self)


class TrialGroup(Answer):
    """With which other trials a trial is trained as one, and why or why not."""

    id: str
    size: int
    how: str
    """`fused`, `alone`, `apart` or `measuring`."""
    why: str = ""


class TrialReplicates(Answer):
    """The same configuration trained with several fresh seeds."""

    n: int
    mean: Estimate
    """Of the objective."""


class Trial(TrialSummary):
    """One training run."""

    fixed_params: dict[str, Scalar] = {}
    """The parameters that its job fixes and that apply to it, where `client.trial` read it; lists leave them out."""
    id: str
    job_id: str
    state: str
    reason: str | None = None
    step: int | None = None
    attempt: int = 1
    losses_of_worker: int = 0
    purpose: str = "search"
    """What it is for: `search`, `confirm` (to check the answer) or `replicate`."""
    seed: int | None = None
    device: str | None = None
    worker: str | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    duration_s: float | None = None
    gpu_seconds: float | None = None
    group: TrialGroup | None = None
    """With which other trials it is trained; None where its job trains each alone."""
    data_hash: str | None = None
    """Identifies the data it was trained on."""
    provenance: str | None = None
    """Identifies the code, packages and machine it ran with; `client.provenance(job_id)` says what they were."""
    remark: str | None = None
    """What its trainer has to say about how it went, such as that it learned nothing."""
    replicates: TrialReplicates | None = None
    """By what `client.best` ranked it, where its configuration was checked or replicated; other lists leave it out."""
    error: TrialError | None = None
    artifacts: list[JsonValue] = []

    def __repr__(self) -> str:
        state = f"{self.state} ({self.reason})" if self.reason else self.state
        said = f": {self.error}" if self.error else ""
        remark = f"; {self.remark}" if self.remark else ""
        return f"<Trial {self.number} {state}: {self._tried()}; {self._measured()}{said}{remark}>"

    def _repr_html_(self) -> str:
        return trial_html(self)

    def provenance_lines(self) -> list[str]:
        """Return what is known of how it came about, a line each."""
        known = {
            "seed": self.seed,
            "device": self.device,
            "worker": self.worker,
            "data": self.data_hash,
            "group": self.group and f"{self.group.id} ({self.group.how}, {self.group.size}): {self.group.why}",
        }
        return [f"{name}: {value}" for name, value in known.items() if value is not None]


class Dataset(Answer):
    """A data set; what the service can't know without reading all of it is None."""

    name: str
    help: str = ""
    format: str
    kind: str | None = None
    n: int | None = None
    shape: list[int] | None = None
    n_classes: int | None = None
    target: str | None = None
    target_kind: str | None = None
    content_hash: str | None = None
    problem: str | None = None

    def __repr__(self) -> str:
        return f"<Dataset {self.name}: {self.n if self.n is not None else 'some'} samples, {self.kind or self.format}>"


class Page(Answer):
    items: list[JsonValue]
    next_page_token: str | None = None


class Report(Answer):
    """One measurement of a trial."""

    step: int
    values: dict[str, float]
    elapsed_s: float | None = None


class Job(Answer):
    """A tuning job. Its `spec` has every default written in and posts back unchanged."""

    id: str
    kind: str = "tune"
    name: str
    state: str
    reason: str | None = None
    desired: str = "run"
    labels: dict[str, str] = {}
    priority: int = 0
    spec: dict[str, JsonValue]
    warnings: list[str] = []
    progress: Progress
    answer: JobAnswer | None = None
    """Which rate to use and how sure that is; None: no trial has ended yet, or the job searches nothing."""
    best: TrialSummary | None = None
    error: str | None = None
    advice: str | None = None
    """What stands in its way and what to do about it."""
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    work_s: float = 0.0
    """Seconds of work: waiting, pauses and time without a worker don't count."""
    revision: int
    change: int

    def __repr__(self) -> str:
        return f"<Job {job_line(self)}>"

    def _repr_html_(self) -> str:
        return job_html(self)

    @property
    def is_finished(self) -> bool:
        return self.state in FINISHED

    @property
    def is_lost(self) -> bool:
        """Whether it has ended and nothing came of it because trials failed: too many of them, or all.

        A job that completes with nothing but failed trials is `completed`: it did all that it was asked to do.
        """
        counts = self.progress.counts
        some_ended_well = any(counts.get(state) for state in ("completed", "pruned", "infeasible"))
        return self.is_finished and counts.get("failed", 0) > 0 and (self.state == "failed" or not some_ended_well)

    @property
    def is_fruitless(self) -> bool:
        """Whether it has ended without a trial to use, though some ran: each failed, was infeasible or was stopped."""
        return self.is_finished and self.progress.n_finished > 0 and not self.progress.counts.get("completed")

    @property
    def objectives(self) -> list[Objective]:
        """What the job optimises."""
        return _Objectives.model_validate(self.spec).objectives


class _Objectives(BaseModel):
    objectives: list[Objective] = []


class WrongField(Answer):
    """One wrong field of a request: a JSON pointer and what to do about it."""

    pointer: str
    message: str


class Problem(Answer):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    correlation_id: str | None = None
    errors: list[WrongField] = []
