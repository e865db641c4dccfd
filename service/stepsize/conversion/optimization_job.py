"""A Kubeflow Trainer `OptimizationJob` (trainer.kubeflow.org/v1alpha1), which follows Katib's `Experiment`.

The shape is that of the API types in kubeflow/trainer as of August 2026; `trialConfig` and `list`, of the proposal
before them, are taken too.
"""

import re
from collections.abc import Callable
from types import MappingProxyType

from stepsize.conversion.job import Draft, Wanted
from stepsize.conversion.kubernetes import note_container, read_command
from stepsize.conversion.outcome import Converted
from stepsize.conversion.part import Part, shown
from stepsize.conversion.space import Described, Distributions

SOURCE = "a Kubeflow OptimizationJob"
API_GROUPS = ("trainer.kubeflow.org/", "optimizer.kubeflow.org/")

_COUNTS = {
    "max_trials": "numTrials",
    "max_parallel_trials": "parallelTrials",
    "max_failed_trials": "maxFailedTrials",
}


def convert(part: Part, draft: Draft, wanted: Wanted) -> Converted:
    """Return an optimization job as one of ours.

    Raises:
        ConversionError: something in it has no counterpart.
    """
    metadata = part.maybe_part("metadata")
    draft.name = metadata.maybe_text("name") or ""
    draft.trainer = re.sub(r"\W+", "_", draft.name).strip("_")
    metadata.drop("namespace", "labels", "annotations", said="Kubernetes' own; jobs have labels too")
    metadata.close()
    part.take("apiVersion"), part.take("kind"), part.take("status")
    spec = part.part("spec")
    for parameter in spec.parts("parameters"):
        with draft.apart():
            _add(parameter, draft)
    with draft.apart():
        if not draft.space and not draft.slips:
            raise spec.error("parameters", "there are none to search")
    objectives = spec.parts("objectives")
    with draft.apart():
        if not objectives:
            raise spec.error("objectives", "there are none")
    for objective in objectives:
        with draft.apart():
            _read_objective(objective, draft)
    draft.take_counts(spec.part("trialConfig") if "trialConfig" in spec else spec, _COUNTS)
    with draft.apart():
        _read_algorithm(spec.maybe_part("searchAlgorithm"), draft)
    with draft.apart():
        if "trainJobTemplate" in spec:
            _read_template(spec.part("trainJobTemplate"), draft)
    for whole in (spec, part):
        with draft.apart():
            whole.close()
    return draft.finish(wanted)


def _add(part: Part, draft: Draft) -> None:
    name = part.text("name")
    space = part.part("searchSpace")
    given = [kind for kind in _SPACES if kind in space]
    space.close()
    if len(given) != 1:
        raise part.error("searchSpace", f"holds exactly one of {', '.join(_SPACES)}")
    below = space.part(given[0])
    draft.space.search(below.at(), name, _SPACES[given[0]](below, draft))
    below.close()
    part.close()


def _uniform(part: Part, draft: Draft) -> Described:
    ours = Distributions(draft.notes)
    low, high = part.number("min"), part.number("max")
    return ours.whole(low, high) if _is_whole(part) else ours.uniform(low, high)


def _log_uniform(part: Part, draft: Draft) -> Described:
    ours = Distributions(draft.notes)
    low, high = part.number("min"), part.number("max")
    return ours.whole(low, high, log=True) if _is_whole(part) else ours.log_uniform(part.at("min"), low, high)


def _categorical(part: Part, draft: Draft) -> Described:
    name = "choices" if "choices" in part else "list"
    return draft.space.choices(part.at(name), part.items(name))


_SPACES: MappingProxyType[str, Callable[[Part, Draft], Described]] = MappingProxyType(
    {"uniform": _uniform, "logUniform": _log_uniform, "categorical": _categorical}
)


def _is_whole(part: Part) -> bool:
    kind = part.maybe_text("type") or "Float"
    if kind not in ("Float", "Int"):
        raise part.error("type", f"is Float or Int, not {shown(kind)}")
    return kind == "Int"


def _read_objective(part: Part, draft: Draft) -> None:
    direction = (part.maybe_text("direction") or "Minimize").lower()
    if direction not in ("minimize", "maximize"):
        raise part.error("direction", f"is Minimize or Maximize, not {shown(direction)}")
    draft.tune_by(part.maybe_text("metric") or "loss", direction, part.maybe_number("goal"))
    part.close()


def _read_algorithm(part: Part, draft: Draft) -> None:
    given = [name for name in ("random", "grid", "tpe") if name in part]
    part.drop("provider", "providerSettings", said="the samplers here are Optuna's")
    part.close()
    if not given:
        draft.sampler = {"name": "random"}
        return
    settings = part.part(given[0])
    ours = {"seed": "seed", "initialTrials": "n_startup_trials", "eiCandidates": "n_ei_candidates"}
    found = {name: settings.maybe_whole(theirs) for theirs, name in ours.items() if theirs in settings}
    draft.sampler = {"name": given[0], **found}
    settings.close()


def _read_template(part: Part, draft: Draft) -> None:
    part.drop("metadata", said="Kubernetes' own; jobs have labels too")
    spec = part.part("spec")
    spec.drop("runtimeRef", "initializer", "podTemplateOverrides", "labels", "annotations", said="there is no cluster")
    trainer = spec.maybe_part("trainer")
    draft.command = read_command(trainer, {})
    trainer.note("command", "parameters are STEPSIZE_PARAM_NAME in the environment, not KUBEFLOW_OPT_NAME")
    note_container(trainer)
    spec.close()
    part.close()
