"""Calls about what came out: the best trials, reports, curves, plots, files."""

from collections.abc import Sequence
from typing import Literal

from stepsize.client.answers import Trial
from stepsize.client.calls.base import Call, file_path, get, get_bytes, get_items, get_text, part, several
from stepsize.client.provenance import JobProvenance
from stepsize.client.results import Curves, Front, History, Importances, JobReport, JobsReport

PlotKind = Literal["history", "curves", "slice", "heatmap", "importances", "range_test", "sensitivity", "pareto"]
ImageFormat = Literal["svg", "png"]
Theme = Literal["light", "dark"]

_MARKDOWN = "text/markdown"


def best(job_id: str, *, n: int = 1) -> Call[list[Trial]]:
    """Return up to `n` best trials, best first."""
    return get_items(Trial, f"/jobs/{part(job_id)}/best", {"n": n})


def best_artifact(job_id: str, name: str) -> Call[bytes]:
    """Return a file of the best trial, e.g. `model.safetensors`."""
    return get_bytes(f"/jobs/{part(job_id)}/best/artifacts/{file_path(name)}")


def pareto(job_id: str) -> Call[Front]:
    """Return the trials that no other trial beats in every objective."""
    return get(Front, f"/jobs/{part(job_id)}/pareto")


def provenance(job_id: str) -> Call[JobProvenance]:
    """Return the code, packages and machines that a job's trials ran with, and where they differ."""
    return get(JobProvenance, f"/jobs/{part(job_id)}/provenance")


def report(job_id: str) -> Call[JobReport]:
    """Return a job's learning-rate report: which rate to use, at which batch size, and how sure that is."""
    return get(JobReport, f"/jobs/{part(job_id)}/report")


def report_text(job_id: str) -> Call[str]:
    """Return a job's learning-rate report as Markdown."""
    return get_text(f"/jobs/{part(job_id)}/report", accept=_MARKDOWN)


def compare(job_ids: str | Sequence[str]) -> Call[JobsReport]:
    """Return what differs between jobs: the best rate of each, and of each choice that they fix or search."""
    return get(JobsReport, "/reports", {"job": several(job_ids)})


def compare_text(job_ids: str | Sequence[str]) -> Call[str]:
    """Return the comparison of jobs as Markdown."""
    return get_text("/reports", {"job": several(job_ids)}, accept=_MARKDOWN)


def importances(job_id: str) -> Call[Importances]:
    """Return which parameters matter: each one's share in what tells the best tenth of the trials from the rest."""
    return get(Importances, f"/jobs/{part(job_id)}/importances")


def history(job_id: str, *, max_points: int | None = None) -> Call[History]:
    """Return the objective of each trial in turn, and the best so far.

    Args:
        max_points: at most this many trials; null: as many as the service likes.
    """
    return get(History, f"/jobs/{part(job_id)}/history", {"max_points": max_points})


def curves(
    job_id: str,
    *,
    metric: str | None = None,
    max_points: int = 100,
    pick: Literal["latest", "best"] = "latest",
    n: int = 50,
    numbers: Sequence[int] = (),
) -> Call[Curves]:
    """Return learning curves, down-sampled.

    Args:
        metric: null: the first objective's.
        max_points: most points of a curve.
        pick: which trials: the latest (running ones among them) or the best.
        n: how many trials.
        numbers: these trials; then `pick` and `n` are void.
    """
    query = {"metric": metric, "max_points": max_points, "pick": pick, "n": n, "trial": list(numbers)}
    return get(Curves, f"/jobs/{part(job_id)}/curves", query)


def plot(job_id: str, kind: PlotKind, *, image_format: ImageFormat = "svg", theme: Theme = "light") -> Call[bytes]:
    """Return a figure of a job as an image."""
    return get_bytes(f"/jobs/{part(job_id)}/plots/{kind}.{image_format}", {"theme": theme})


def plot_range_test(test_id: str, *, image_format: ImageFormat = "svg", theme: Theme = "light") -> Call[bytes]:
    """Return the figure of a range test: loss over learning rate for each batch size."""
    return get_bytes(f"/range-tests/{part(test_id)}/plot.{image_format}", {"theme": theme})
