"""A trial as the callbacks of frameworks use it, whichever way it came, and the frameworks themselves."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol


class Reports(Protocol):
    """What any trial can do: a `TrialContext`, a `TuneTrial`, an `ExternalTrial`."""

    def report(self, step: int, values: Mapping[str, float], /) -> bool:
        """Record one measurement and return whether to stop."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint: `path` as it was written, after `step`."""

    step: int
    path: Path


class Run:
    """A trial to report to. Only a trainer's context keeps checkpoints and hears of a stop between two reports."""

    def __init__(self, trial: Reports) -> None:
        self._trial = trial
        self._is_over = False

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        """Record one measurement and return whether to stop."""
        self._is_over = self._trial.report(step, values) or self._is_over
        return self._is_over

    def should_stop(self) -> bool:
        """Return whether to stop, between two reports; cheap enough for every update."""
        asked = getattr(self._trial, "should_stop", False)
        self._is_over = self._is_over or bool(asked() if callable(asked) else asked)
        return self._is_over

    def save(self, step: int, write: Callable[[Path], None]) -> None:
        """Keep what is needed to go on after a step, where the trial keeps such things and is to go on."""
        keep = getattr(self._trial, "save_checkpoint", None)
        if keep is not None and not self._is_over:
            keep(step, write)

    @property
    def saved(self) -> Saved | None:
        """What an interrupted attempt has left, or None to start at the beginning."""
        found = getattr(self._trial, "checkpoint", None)
        return None if found is None else Saved(found.step, found.path)

    def steps_left(self, n_steps: int) -> int:
        """Return how many of the steps an interrupted attempt has left to do."""
        saved = self.saved
        return n_steps if saved is None else n_steps - saved.step


def measured(found: Mapping[str, Any], metrics: Mapping[str, str]) -> dict[str, float]:
    """Return what a framework has measured under our names.

    Args:
        found: the framework's name → number.
        metrics: our name → the framework's.

    Raises:
        MetricMissingError: one is not there.
    """
    for theirs in metrics.values():
        if theirs not in found:
            raise MetricMissingError(theirs, found)
    return {ours: float(found[theirs]) for ours, theirs in metrics.items()}


class MetricMissingError(Exception):
    """The framework measures nothing of this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1)
        said = f"; did you mean {near[0]!r}?" if near else ""
        super().__init__(f"there is no metric {name!r}{said} The framework measures {', '.join(names) or 'nothing'}")


def framework(*modules: str, install: str) -> Any:
    """Return the first of these modules that is there.

    Raises:
        ImportError: none is; says what to install.
    """
    for module in modules:
        with suppress(ModuleNotFoundError):
            return import_module(module)
    raise ImportError(f"stepsize.integrations needs {modules[0]} for this: pip install {install}", name=modules[0])
