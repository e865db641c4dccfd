"""Fakes that tests share."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from stepsize.domain.figures import check_figure
from stepsize_workers.trainers.base import Checkpoint, Diverged, GroupReports, Params, TrialContext

P_co = TypeVar("P_co", bound=Params, covariant=True)
P = TypeVar("P", bound=Params)


@dataclass(eq=False)  # a group tells its members apart by identity
class RecordingContext(Generic[P_co]):
    """A `TrialContext` that keeps what a trainer says, and says stop when told to.

    Attributes:
        stop_at_step: the verdict of the report at this step is to stop.
        stop_after_polls: `should_stop` answers True from this call on (1: at once).
        reports: what was reported, in order.
    """

    params: P_co
    directory: Path
    seed: int = 0
    attempt: int = 1
    device: str = "cpu"
    data_dir: Path = Path("/nonexistent")
    checkpoint: Checkpoint | None = None
    stop_at_step: int | None = None
    stop_after_polls: float = math.inf
    reports: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    n_polls: int = 0
    checkpoints: dict[int, Path] = field(default_factory=dict)
    data_hash: str | None = None
    last_remark: str | None = None

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        """Record a measurement and return the verdict."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} became {value}", step=step)
        self.reports.append((step, dict(values)))
        return step == self.stop_at_step

    def should_stop(self) -> bool:
        """Count the question and answer it."""
        self.n_polls += 1
        return self.n_polls >= self.stop_after_polls

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> None:
        """Write a checkpoint; unlike a worker's, every one is kept."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"checkpoint-{step}"
        write(path)
        self.checkpoints[step] = path

    def artifact(self, name: str) -> Path:
        """Return a path in the context's own directory."""
        path = self.directory / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def figure(self, name: str, picture: str | bytes) -> None:
        """Check and write a picture beside the artifacts."""
        file, content = check_figure(name, picture)
        self.artifact(file).write_bytes(content)

    def note_data(self, content_hash: str) -> None:
        """Keep what identifies the data."""
        self.data_hash = content_hash

    def remark(self, text: str) -> None:
        """Keep the last remark."""
        self.last_remark = text

    def checkpoint_after(self, step: int) -> Checkpoint:
        """Return the checkpoint that was saved after a step."""
        return Checkpoint(step, self.checkpoints[step])


@dataclass
class RecordingGroup(Generic[P]):
    """A `GroupContext` that hands each member's words to its own context.

    Attributes:
        waiting: for each call of `joined`, who comes.
        errors: of those that have ended, in that order; None: none.
    """

    members: Sequence[RecordingContext[P]]
    waiting: list[Sequence[RecordingContext[P]]] = field(default_factory=list)
    errors: dict[TrialContext[P], BaseException | None] = field(default_factory=dict)
    n_reports: int = 0

    def joined(self) -> Sequence[RecordingContext[P]]:
        """Return who comes now."""
        return self.waiting.pop(0) if self.waiting else ()

    def report(self, values: GroupReports[P]) -> set[TrialContext[P]]:
        """Record the members' measurements."""
        self.n_reports += 1
        return {member for member, (step, numbers) in values.items() if member.report(step, numbers)}

    def ended(self, member: TrialContext[P], error: BaseException | None = None) -> None:
        """Note who ends, once."""
        assert member not in self.errors, "a member ends once"
        self.errors[member] = error
