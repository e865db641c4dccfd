"""Files of trials: logs and artifacts, in the data directory that API and workers share."""

import os
import shutil
from pathlib import Path

from stepsize.application.results import best
from stepsize.application.trials import read_trial
from stepsize.domain.trial import Trial, trial_dir
from stepsize.errors import CatalogueEntryNotFoundError
from stepsize.spec.hints import hint
from stepsize.store.database import Connection

LOG_CAP_BYTES = 1 << 20


def find_artifact(connection: Connection, data_dir: Path, job_id: str, number: int, name: str) -> Path:
    """Return the path of a trial's artifact.

    Raises:
        JobNotFoundError, TrialNotFoundError: no such job or trial.
        CatalogueEntryNotFoundError: the trial has no such artifact.
    """
    return _artifact(data_dir, read_trial(connection, job_id, number), name)


def find_best_artifact(connection: Connection, data_dir: Path, job_id: str, name: str) -> Path:
    """Return the path of the best trial's artifact.

    Raises:
        JobNotFoundError: no such job.
        StateConflictError: the job has several objectives.
        CatalogueEntryNotFoundError: there is no best trial yet, or it has no such artifact.
    """
    found = best(connection, job_id, n=1)
    if not found:
        raise CatalogueEntryNotFoundError("artifact", name, [], hint(name, ()))
    return _artifact(data_dir, found[0].trial, name)


def read_log(data_dir: Path, job_id: str, number: int, *, n_lines: int | None = None) -> str:
    """Return what a trial printed, at most its last MiB; empty if it has printed nothing.

    Args:
        n_lines: only that many of the last lines.
    """
    try:
        with (trial_dir(data_dir, job_id, number) / "log.txt").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_CAP_BYTES))
            text = file.read(LOG_CAP_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    return text if n_lines is None else "".join(text.splitlines(keepends=True)[-n_lines:])


def remove_job_files(data_dir: Path, job_id: str) -> None:
    """Delete the logs, checkpoints and artifacts of all trials of a job."""
    shutil.rmtree(data_dir / "jobs" / job_id, ignore_errors=True)


def _artifact(data_dir: Path, trial: Trial, name: str) -> Path:
    if name in trial.artifacts:  # before any path is made of it: a client's may hold a zero character
        directory = (trial_dir(data_dir, trial.job_id, trial.number) / "artifacts").resolve()
        path = (directory / name).resolve()
        # The record decides what may be read; the path is checked too, because a trainer chose the name.
        if path.is_relative_to(directory) and path.is_file():
            return path
    raise CatalogueEntryNotFoundError("artifact", name, trial.artifacts, hint(name, trial.artifacts))
