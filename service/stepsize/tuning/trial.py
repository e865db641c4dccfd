"""A trial as the function that is tuned sees it."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import SupportsFloat

from stepsize.client.external import ExternalTrial
from stepsize.spec.space import Scalar

VERDICT_S = 2.0
"""How long a report waits for the pruner; a job without one is answered at once."""

Outcome = SupportsFloat | Mapping[str, SupportsFloat] | None
"""What a function returns: the objective's value, all its metrics, or nothing: what it reported last counts."""


class TuneTrial:
    """One training to do. Report as often as you like, and return soon after `report` says so.

    Attributes:
        params: what to train with; `trial["learning_rate"]` for short.
        number: the trial's, within its job.
        seed: for everything random in the training.
        attempt: counts from 1; higher where the trial was begun before and its process died.
    """

    def __init__(self, held: ExternalTrial, objectives: tuple[str, ...]) -> None:
        self.params: dict[str, Scalar] = held.params
        self.number = held.number
        self.seed = held.seed
        self.attempt = held.attempt
        self._held = held
        self._objectives = objectives
        self._latest: dict[str, float] = {}
        self._stop_reason: str | None = None

    def __getitem__(self, name: str) -> Scalar:
        return self.params[name]

    def __repr__(self) -> str:
        return f"<TuneTrial {self.number}: {', '.join(f'{name}={value!r}' for name, value in self.params.items())}>"

    @property
    def should_stop(self) -> bool:
        """Whether training on is in vain: pruned, cancelled, diverged, or lost to another process."""
        return self._stop_reason is not None

    @property
    def stop_reason(self) -> str | None:
        """Why: pruner, user, timeout, stalled, diverged or lease-lost."""
        return self._stop_reason

    def report(
        self, step: int, values: SupportsFloat | Mapping[str, SupportsFloat], *, wait_s: float = VERDICT_S
    ) -> bool:
        """Report a measurement and return whether to stop.

        Args:
            step: in units of your own, the same for all trials of a job.
            values: of the objective, or of several metrics by name; one that isn't finite ends the trial as diverged.
            wait_s: seconds to wait at most for the pruner's verdict on this very report.
        """
        measured = self._named(values)
        if not self.should_stop and not _are_finite(measured):
            self.diverge()
        if not self.should_stop:
            self._latest |= measured
            if self._held.report(step, measured, wait_s=wait_s):
                self.stop(self._held.stop_reason or "user")
        return self.should_stop

    def stop(self, reason: str) -> None:
        """Take note that the trial has ended, or is another process's."""
        self._stop_reason = self._stop_reason or reason

    def diverge(self) -> None:
        """End the trial: with these parameters the training explodes, and the search keeps away from there."""
        self._held.infeasible("diverged")
        self.stop("diverged")

    def end(self, outcome: Outcome) -> None:
        """End the trial with what its function returned, unless it has ended.

        Raises:
            ValueError, TypeError: that is no outcome.
        """
        if self.should_stop:
            return
        values = self._latest | ({} if outcome is None else self._named(outcome))
        missing = [name for name in self._objectives if name not in values]
        if missing:
            raise ValueError(
                f"the function returned {outcome!r} and has reported {', '.join(self._latest) or 'nothing'}: "
                f"{', '.join(missing)} is missing"
            )
        if _are_finite(values):
            self._held.complete(values)
        else:
            self.diverge()

    def fail(self, error: Exception) -> None:
        """End the trial: something broke that says nothing about the parameters."""
        if not self.should_stop:
            self._held.fail(error)
            self.stop("error")

    def run_out_of_memory(self) -> None:
        """End the trial: these parameters need more memory than there is."""
        if not self.should_stop:
            self._held.infeasible("oom")
            self.stop("oom")

    def _named(self, values: SupportsFloat | Mapping[str, SupportsFloat]) -> dict[str, float]:
        if isinstance(values, Mapping):
            return {name: float(value) for name, value in values.items()}
        if len(self._objectives) > 1:
            raise TypeError(f"there are several objectives: give a value for each, {', '.join(self._objectives)}")
        if not isinstance(values, Real | SupportsFloat) or isinstance(values, str):
            raise TypeError(f"a number, or metrics by name, and not {values!r}")
        return {self._objectives[0]: float(values)}


def _are_finite(values: Mapping[str, float]) -> bool:
    return all(map(math.isfinite, values.values()))
