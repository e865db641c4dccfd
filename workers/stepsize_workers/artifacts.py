"""Which trials' files are kept: the best three trials', all, or none."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from stepsize.domain.trial import Trial, TrialState, checkpoint_path, trial_dir
from stepsize.spec.resolved import ResolvedJobSpec

N_BEST = 3
"""More where more are replicated: the best by their means must not have lost its model by then."""


class ArtifactKeeper:
    """Decides, as trials of one job complete, whose artifacts to drop."""

    def __init__(self, spec: ResolvedJobSpec, data_dir: Path, job_id: str) -> None:
        self._keep = spec.keep_artifacts
        self._n_best = max(N_BEST, spec.replicates.top if spec.replicates else 0)
        self._direction = spec.objectives[0].direction
        self._data_dir = data_dir
        self._job_id = job_id
        self._kept: list[tuple[float, int]] = []

    def restore(self, trials: Iterable[Trial]) -> None:
        """Take in what the record says is kept."""
        self._kept = sorted(
            (self._direction.cost(trial.objective), trial.number)
            for trial in trials
            if trial.state is TrialState.COMPLETED and trial.artifacts and trial.objective is not None
        )

    def settle(
        self,
        number: int,
        objective: float | None,
        *,
        has_artifacts: bool,
        forget: Callable[[Sequence[int]], None],
    ) -> None:
        """Delete what nobody needs once a trial has ended: its checkpoint, and whose artifacts now go.

        Args:
            objective: None: it has no result that counts.
            has_artifacts: whether the record names any of its own.
            forget: has the record say that these trials have none; they are deleted after that.
        """
        for path in trial_dir(self._data_dir, self._job_id, number).glob("checkpoint-*"):
            _remove(path)
        if objective is not None and not has_artifacts:
            return
        dropped = self._to_drop(number, objective)
        named = [other for other in dropped if other != number or has_artifacts]
        if named:
            forget(named)
        for other in dropped:
            self._remove_artifacts(other)

    def _to_drop(self, number: int, objective: float | None) -> Sequence[int]:
        """Return whose artifacts go when trial `number` has ended (`objective` None: without a result)."""
        if self._keep == "all":
            return ()
        if self._keep == "none" or objective is None:
            return (number,)
        self._kept = sorted([*self._kept, (self._direction.cost(objective), number)])
        dropped = [other for _, other in self._kept[self._n_best :]]
        del self._kept[self._n_best :]
        return dropped

    def _remove_artifacts(self, number: int) -> None:
        """Delete a trial's artifacts; its log stays."""
        shutil.rmtree(trial_dir(self._data_dir, self._job_id, number) / "artifacts", ignore_errors=True)

    def drop_checkpoint(self, number: int, step: int) -> None:
        """Delete a checkpoint of a trial, now that the record has a newer one."""
        _remove(checkpoint_path(trial_dir(self._data_dir, self._job_id, number), step))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():  # as some libraries write them
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):  # what stays costs room and nothing else
        path.unlink(missing_ok=True)
