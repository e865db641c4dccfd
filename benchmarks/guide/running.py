"""Runs experiments on a service, over HTTP alone, and reads back what the pages need."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from pydantic import JsonValue

from benchmarks.guide.experiments import Experiment
from benchmarks.guide.results import Run, Sweep, rounded, shortened
from stepsize.client import Client, Estimate, Job, RangeTest, Trial

_MOST_CURVES = 500
_PLOT_TIMEOUT_S = 120.0
"""The first figure of a service also starts the process that draws."""


def submit(client: Client, experiment: Experiment) -> list[Job]:
    """Submit an experiment's jobs, one for each seed; they run beside each other as slots allow."""
    return [client.submit(experiment.spec(seed)) for seed in range(experiment.n_seeds)]


def collect(client: Client, url: str, experiment: Experiment, jobs: Sequence[Job]) -> list[Run]:
    """Return the trials of finished jobs, by seed and number.

    Raises:
        RuntimeError: a job did not complete, or a trial failed: what is missing would look like a finding.
    """
    runs: list[Run] = []
    for seed, job in enumerate(jobs):
        if (ended := client.wait(job.id)).state != "completed":
            raise RuntimeError(f"{experiment.name}, seed {seed}: the job is {ended.state} ({ended.reason})")
        trials = sorted(client.trials(job.id), key=lambda trial: trial.number)
        if experiment.keeps_curves:
            curves = {metric: read_curves(url, job.id, metric) for metric in ("val_loss", "val_accuracy")}
        else:
            curves = {metric: _last_values(trials, metric) for metric in ("val_loss", "val_accuracy")}
        runs += [_run(trial, seed, experiment, curves) for trial in trials]
    return runs


def _run(trial: Trial, seed: int, experiment: Experiment, curves: Mapping[str, Mapping[int, Sequence[float]]]) -> Run:
    if trial.state not in ("completed", "infeasible"):
        raise RuntimeError(f"{experiment.name}, seed {seed}, trial {trial.number}: {trial.state} ({trial.error})")
    losses = rounded(curves["val_loss"].get(trial.number, ()))
    return Run(
        seed=seed,
        number=trial.number,
        params={name: shortened(value) for name, value in trial.params.items() if name in experiment.space},
        outcome=trial.reason or trial.state,
        losses=losses if experiment.keeps_losses else losses[-1:],
        accuracies=rounded(curves["val_accuracy"].get(trial.number, ())),
    )


def _last_values(trials: Sequence[Trial], metric: str) -> dict[int, list[float]]:
    return {trial.number: [trial.values[metric]] for trial in trials if metric in trial.values}


def read_curves(url: str, job_id: str, metric: str) -> dict[int, list[float]]:
    """Return a metric's value at each epoch of each trial that reported it, by the trial's number."""
    query: dict[str, str | int] = {"metric": metric, "n": _MOST_CURVES, "max_points": 100}
    answer = httpx.get(f"{url}/v1/jobs/{job_id}/curves", params=query, trust_env=False, timeout=60.0)
    answer.raise_for_status()
    return {int(curve["number"]): curve["values"] for curve in answer.json()["curves"]}


def read_importances(url: str, job_id: str) -> dict[str, float]:
    """Return the service's importance of each parameter; nothing where there are too few trials to say."""
    answer = httpx.get(f"{url}/v1/jobs/{job_id}/importances", trust_env=False, timeout=_PLOT_TIMEOUT_S)
    answer.raise_for_status()
    shares = {item["parameter"]: item["importance"]["value"] for item in answer.json()["items"]}
    return {name: share for name, share in shares.items() if share is not None}


def save_plot(url: str, path_of_plot: str, target: Path, **query: str) -> None:
    """Write one of the service's own figures to a file."""
    answer = httpx.get(f"{url}/v1/{path_of_plot}", params=query, trust_env=False, timeout=_PLOT_TIMEOUT_S)
    answer.raise_for_status()
    target.write_bytes(answer.content)


def run_range_test(client: Client, spec: Mapping[str, JsonValue]) -> RangeTest:
    """Run a range test to its end.

    Raises:
        RuntimeError: it did not complete.
    """
    test = client.range_test(spec)
    client.wait(test.job_id)
    test = client.read_range_test(test.id)
    if test.state != "completed":
        raise RuntimeError(f"the range test is {test.state}: {json.dumps(test.error)}")
    return test


def sweeps_of(test: RangeTest) -> list[Sweep]:
    """Return what a range test said, a row for each batch size."""
    return [
        Sweep(
            batch_size=result.batch_size or 0,
            low=_triple(result.low),
            suggestion=_triple(result.suggestion),
            high=_triple(result.high),
            inconclusive=result.inconclusive,
        )
        for result in test.results
    ]


def _triple(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (estimate.value, estimate.low, estimate.high) if estimate is not None else (None, None, None)
