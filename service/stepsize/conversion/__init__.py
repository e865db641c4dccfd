"""Jobs from the files of other tools: recognised by their shape, and nothing in them dropped without a word.

Needs the spec models alone, as the client does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from stepsize.conversion import katib, optimization_job, ray_tune, wandb
from stepsize.conversion.job import Draft, Wanted
from stepsize.conversion.outcome import ConversionError, Converted, Note
from stepsize.conversion.part import Notes, Part, shown
from stepsize.conversion.space import Space

__all__ = ["UNDERSTOOD", "ConversionError", "Converted", "Note", "Wanted", "convert", "is_foreign"]

Document = Mapping[str, JsonValue]

UNDERSTOOD = (
    "a W&B sweep (method and parameters), a Katib Experiment (apiVersion kubeflow.org/v1beta1), "
    "a Kubeflow OptimizationJob (apiVersion trainer.kubeflow.org/v1alpha1), "
    'a Ray Tune space ({"lr": {"loguniform": [1e-4, 0.1]}}, or with param_space and tune_config)'
)


@dataclass(frozen=True)
class _Format:
    source: str
    convert: Callable[[Part, Draft, Wanted], Converted]
    texts_are_numbers: bool = False


_WANDB = _Format(wandb.SOURCE, wandb.convert)
_KATIB = _Format(katib.SOURCE, katib.convert, texts_are_numbers=True)
_OPTIMIZATION_JOB = _Format(optimization_job.SOURCE, optimization_job.convert, texts_are_numbers=True)
_RAY_TUNE = _Format(ray_tune.SOURCE, ray_tune.convert)


def is_foreign(document: Document) -> bool:
    """Tell whether a file is another tool's, by its shape; it may still be one that can't be carried over."""
    return "kind" in document or _format(document) is not None


def convert(document: Document, wanted: Wanted | None = None) -> Converted:
    """Return another tool's file as a job.

    Raises:
        ConversionError: it is none that is understood, or something in it has no counterpart here.
    """
    found = _format(document)
    if found is None:
        raise ConversionError("", _why_not(document))
    notes: Notes = []
    draft = Draft(found.source, notes, Space(notes))
    part = Part(dict(document), "", notes, texts_are_numbers=found.texts_are_numbers)
    try:
        return found.convert(part, draft, wanted or Wanted())
    except ConversionError as error:  # it ends the reading; what was found before is told with it
        raise ConversionError.of(dict.fromkeys([*draft.slips, error])) from None


def _format(document: Document) -> _Format | None:
    version, kind = document.get("apiVersion"), document.get("kind")
    if "trainer" in document or "search_space" in document:
        return None
    if kind == "Experiment" and version == katib.API_VERSION:
        return _KATIB
    if kind == "OptimizationJob" and str(version).startswith(optimization_job.API_GROUPS):
        return _OPTIMIZATION_JOB
    if kind is not None or version is not None:
        return None
    if isinstance(document.get("parameters"), dict) and not ray_tune.is_domain(document["parameters"]):
        return _WANDB
    return _RAY_TUNE if "param_space" in document or ray_tune.is_space(document) else None


def _why_not(document: Document) -> str:
    if "trainer" in document:
        return "this is a job already; submit it"
    version, kind = document.get("apiVersion"), document.get("kind")
    if kind == "Experiment":
        return f"of Katib's Experiments {katib.API_VERSION} is understood, not {shown(version)}"
    what = (
        f"a {kind} ({version})" if kind is not None else f"a file with {', '.join(sorted(document)[:6]) or 'nothing'}"
    )
    return f"{what} is not understood; understood are {UNDERSTOOD}"
