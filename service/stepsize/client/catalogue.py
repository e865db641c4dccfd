"""The catalogue, and who is there to work, as the service sends them."""

from pydantic import AwareDatetime, JsonValue

from stepsize.client.answers import Answer, TrialGroup
from stepsize.spec.objective import Objective
from stepsize.spec.space import SearchSpace


class SpecEntry(Answer):
    """Something a job may name: a sampler, pruner, optimiser or schedule."""

    name: str
    help: str
    params_schema: dict[str, JsonValue]
    """JSON Schema of its parameters."""

    def __repr__(self) -> str:
        return f"<{self.name}: {self.help}>"


class TrainerMetric(Answer):
    """One number a trainer reports."""

    name: str
    direction: str | None = None
    unit: str = ""


class TrainerEntry(SpecEntry):
    """A trainer, and the ids of the living workers that offer it."""

    version: str
    metrics: list[TrainerMetric]
    step_unit: str
    default_search_space: SearchSpace
    default_objectives: list[Objective]
    capabilities: dict[str, JsonValue]
    """`range_test`, `resume`, `refit`: bool; `fuse`: None, or `{"free": [parameters that may differ in a group]}`."""
    workers: list[str]

    def __repr__(self) -> str:
        return f"<Trainer {self.name} {self.version}: {self.help}>"


class PreviewPoint(Answer):
    step: int
    learning_rate: float


class SchedulePreview(Answer):
    """The learning rate over a training."""

    points: list[PreviewPoint]


class Slot(Answer):
    """One place where a trial can run."""

    index: int
    device: str
    gpus: float
    cpus: int


class RunningTrial(Answer):
    job_id: str
    number: int
    device: str | None = None
    group: TrialGroup | None = None
    """With which others it is trained."""


class Offer(Answer):
    """A trainer a worker offers."""

    name: str
    version: str


class Worker(Answer):
    """A worker: its slots, its trainers, and what it runs."""

    id: str
    host: str
    pid: int
    version: str
    alive: bool
    slots: list[Slot]
    trainers: list[Offer]
    running: list[RunningTrial]
    started_at: AwareDatetime
    last_seen: AwareDatetime

    def __repr__(self) -> str:
        state = f"{len(self.running)}/{len(self.slots)} slots busy" if self.alive else f"last seen {self.last_seen}"
        return f"<Worker {self.id} on {self.host}: {state}>"


class Health(Answer):
    status: str
