"""What every tool's file becomes in the end: a job, checked as far as that goes without a service."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydantic import JsonValue

from stepsize.conversion.outcome import ConversionError, Converted, Note
from stepsize.conversion.part import Notes, Part
from stepsize.conversion.program import describe_program
from stepsize.conversion.space import Space

_MOST_GP_TRIALS = 300
"""From there on a Gaussian process thinks for seconds about each proposal."""


@dataclass(frozen=True)
class Wanted:
    """What the caller says about the job, whatever the file says."""

    trainer: str | None = None
    """A trainer that is there already; null: the file's program, described for a worker, or else clients train."""
    objective: tuple[str, str] | None = None
    """Metric and direction, for files that name none."""


@dataclass
class Draft:
    """A job while it is read from a file."""

    source: str
    notes: Notes
    space: Space
    name: str = ""
    trainer: str = ""
    """What the program would be called as a trainer."""
    command: list[str] | None = None
    metrics: dict[str, str | None] = field(default_factory=dict)
    """Metric → direction, the objectives first."""
    objectives: list[dict[str, JsonValue]] = field(default_factory=list)
    sampler: dict[str, JsonValue] = field(default_factory=dict)
    pruner: dict[str, JsonValue] | None = None
    budget: dict[str, JsonValue] = field(default_factory=dict)
    slips: list[ConversionError] = field(default_factory=list)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Read a part that others don't wait for: what is wrong in it is told at the end, with all that is wrong."""
        try:
            yield
        except ConversionError as error:
            self.slips.append(error)

    def take_counts(self, part: Part, names: Mapping[str, str]) -> None:
        """Set limits of the budget.

        Args:
            names: limit → what it is called in the part; what isn't there is left out.
        """
        for ours, theirs in names.items():
            with self.apart():
                count = part.maybe_whole(theirs)
                if count is not None:
                    self.budget[ours] = count

    def tune_by(self, metric: str, direction: str, target: float | None = None) -> None:
        """Set what the job optimises."""
        objective: dict[str, JsonValue] = {"metric": metric, "direction": direction}
        self.objectives.append(objective if target is None else objective | {"target": target})
        self.metrics = {metric: direction, **self.metrics}

    def sample_by_model(self, place: str, *, seed: int | None = None) -> None:
        """Choose the sampler for a search by Gaussian processes, which grow slow after a few hundred trials."""
        most = self.budget.get("max_trials")
        is_long = isinstance(most, int) and most > _MOST_GP_TRIALS
        self.sampler = {"name": "tpe" if is_long else "gp"} | ({} if seed is None else {"seed": seed})
        if is_long:
            said = f"carried over as tpe: a Gaussian process, our gp, is slow beyond {_MOST_GP_TRIALS} trials"
            self.notes.append(Note(place, said))

    def finish(self, wanted: Wanted) -> Converted:
        """Return the job and, where there is a program and no other trainer is wanted, its description.

        Raises:
            ConversionError: something has no counterpart, or a grid is to visit what has no end.
        """
        if self.slips:
            raise ConversionError.of(self.slips)
        if self.sampler.get("name") == "grid":
            self.space.check_grid()
        runs_program = wanted.trainer is None and self.command is not None
        trainer = wanted.trainer or self.trainer or "external"
        job: dict[str, JsonValue] = {"name": self.name} if self.name else {}
        job |= {"trainer": _without_empty({"name": trainer, "params": {**self.space.fixed}})}
        if wanted.trainer is None and not runs_program:
            job["engine"] = "external"
        parts: dict[str, JsonValue] = {
            "search_space": {**self.space.searched},
            "objectives": [*self.objectives],
            "sampler": self.sampler,
            "pruner": self.pruner,
            "budget": self.budget,
        }
        job |= _without_empty(parts)
        command = None
        if runs_program and self.command is not None:
            command = describe_program(trainer, self.command, self.space, self.metrics, source=self.source)
        return Converted(self.source, job, command, tuple(self.notes))


def _without_empty(parts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: part for name, part in parts.items() if part}
