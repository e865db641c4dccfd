"""A Katib `Experiment` (kubeflow.org/v1beta1)."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from pydantic import JsonValue

from stepsize.conversion.job import Draft, Wanted
from stepsize.conversion.kubernetes import find_containers, note_container, read_command
from stepsize.conversion.outcome import Converted
from stepsize.conversion.part import Part, as_number, shown
from stepsize.conversion.space import Described, Distributions

SOURCE = "a Katib Experiment"
API_VERSION = "kubeflow.org/v1beta1"
_SAMPLERS: Mapping[str, str] = MappingProxyType(
    {
        "random": "random",
        "grid": "grid",
        "tpe": "tpe",
        "multivariate-tpe": "tpe",
        "bayesianoptimization": "gp",
        "cmaes": "cmaes",
        "sobol": "qmc",
        "hyperband": "random",
    }
)
"""Algorithm → sampler; hyperband is a pruner too."""
_IMPOSSIBLE: Mapping[str, str] = MappingProxyType(
    {
        "pbt": "population based training changes parameters during a training, which nothing here does",
        "enas": "neural architecture search is none of our searches",
        "darts": "neural architecture search is none of our searches",
    }
)
_SETTINGS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "tpe": {"n_startup_trials": "n_startup_trials", "n_ei_candidates": "n_ei_candidates"},
        "gp": {"n_initial_points": "n_startup_trials"},
        "cmaes": {"n_startup_trials": "n_startup_trials", "popsize": "population_size"},
    }
)
"""Sampler → setting → ours."""
_STOPPING = {"min_trials_required": "n_startup_trials", "start_step": "n_warmup_steps"}
_DEFAULT_STOPPING: dict[str, JsonValue] = {"name": "median", "n_startup_trials": 3, "n_warmup_steps": 4}
"""Katib's own defaults."""
_STRATEGIES = {"minimize": "min", "maximize": "max"}
"""Which of a trial's reports Katib takes where nothing is said."""


def convert(part: Part, draft: Draft, wanted: Wanted) -> Converted:
    """Return an experiment as a job.

    Raises:
        ConversionError: something in it has no counterpart.
    """
    _read_metadata(part, draft)
    part.take("apiVersion"), part.take("kind"), part.take("status")
    spec = part.part("spec")
    if "nasConfig" in spec:
        raise spec.error("nasConfig", _IMPOSSIBLE["enas"])
    for parameter in spec.parts("parameters"):
        with draft.apart():
            _add(parameter, draft)
    with draft.apart():
        if not draft.space and not draft.slips:
            raise spec.error("parameters", "there are none to search")
    with draft.apart():
        _read_objective(spec.part("objective"), draft)
    _read_budget(spec, draft)
    with draft.apart():
        _read_algorithm(spec.part("algorithm"), draft)
    with draft.apart():
        if "earlyStopping" in spec:
            _read_early_stopping(spec.part("earlyStopping"), draft)
    with draft.apart():
        if "trialTemplate" in spec:
            _read_template(spec.part("trialTemplate"), draft)
    spec.drop("metricsCollectorSpec", said="the program prints its reports as lines of JSON")
    spec.drop("resumePolicy", said="jobs go on wherever they were, always")
    for whole in (spec, part):
        with draft.apart():
            whole.close()
    return draft.finish(wanted)


def _read_metadata(part: Part, draft: Draft) -> None:
    metadata = part.maybe_part("metadata")
    draft.name = metadata.maybe_text("name") or metadata.maybe_text("generateName") or ""
    draft.trainer = re.sub(r"\W+", "_", draft.name).strip("_")
    metadata.drop("namespace", "labels", "annotations", said="Kubernetes' own; jobs have labels too")
    metadata.close()


# -- parameters --------------------------------------------------------------------------------------------------------


def _add(part: Part, draft: Draft) -> None:
    name, kind = part.text("name"), part.text("parameterType")
    feasible = part.part("feasibleSpace")
    described = _searched(feasible, kind, part, draft)
    draft.space.search(part.at(), name, described)
    feasible.close()
    part.close()


def _searched(feasible: Part, kind: str, part: Part, draft: Draft) -> Described:
    ours = Distributions(draft.notes)
    match kind:
        case "categorical":
            return draft.space.choices(feasible.at("list"), feasible.items("list"))
        case "discrete":
            return draft.space.choices(feasible.at("list"), _numbers(feasible))
        case "double":
            return _number(feasible, ours, is_whole=False)
        case "int":
            return _number(feasible, ours, is_whole=True)
        case _:
            raise part.error("parameterType", f"is double, int, discrete or categorical, not {shown(kind)}")


def _numbers(feasible: Part) -> list[JsonValue]:
    values: list[JsonValue] = []
    for at, value in enumerate(feasible.items("list")):
        number = as_number(value)
        if number is None:
            raise feasible.error(f"list[{at}]", f"a discrete parameter lists numbers, not {shown(value)}")
        values.append(number)
    feasible.note("list", "the order of the numbers is not used: a search of choices has none")
    return values


def _number(feasible: Part, ours: Distributions, *, is_whole: bool) -> Described:
    low, high, step = feasible.number("min"), feasible.number("max"), feasible.maybe_number("step")
    distribution = feasible.maybe_text("distribution") or "uniform"
    log = distribution in ("logUniform", "logNormal")
    if distribution not in ("uniform", "logUniform", "normal", "logNormal"):
        raise feasible.error("distribution", f"is uniform, logUniform, normal or logNormal, not {shown(distribution)}")
    if distribution in ("normal", "logNormal"):
        scale = "its logarithm" if log else "it"
        feasible.note("distribution", f"not carried over: {distribution}; {scale} is searched evenly from min to max")
    if log and step is not None:
        feasible.note("step", "not carried over: a logarithmic scale has no steps")
        step = None
    if is_whole:
        return ours.whole(low, high, log=log, step=1 if step is None else int(step))
    if log:
        return ours.log_uniform(feasible.at("min"), low, high)
    return ours.uniform(low, high) | ({} if step is None else {"step": float(step)})


# -- the search --------------------------------------------------------------------------------------------------------


def _read_objective(part: Part, draft: Draft) -> None:
    direction = part.text("type")
    if direction not in _STRATEGIES:
        raise part.error("type", f"is minimize or maximize, not {shown(direction)}")
    metric = part.text("objectiveMetricName")
    for at, name in enumerate(part.items("additionalMetricNames")):
        if not isinstance(name, str):
            raise part.error(f"additionalMetricNames[{at}]", f"a text is expected here, not {shown(name)}")
        draft.metrics[name] = None
    draft.tune_by(metric, direction, part.maybe_number("goal"))
    strategies = {one.text("name"): one.text("value") for one in part.parts("metricStrategies")}
    strategy = strategies.get(metric, _STRATEGIES[direction])
    if strategy != "latest":
        place = "metricStrategies" if strategies else "type"
        part.note(place, f"a trial's value is its last report here, not the {strategy} of all its reports")
    part.close()


def _read_budget(spec: Part, draft: Draft) -> None:
    counts = {
        "max_trials": "maxTrialCount",
        "max_parallel_trials": "parallelTrialCount",
        "max_failed_trials": "maxFailedTrialCount",
    }
    draft.take_counts(spec, counts)
    if draft.budget.get("max_failed_trials") == 0:
        draft.budget["max_failed_trials"] = 1  # to Katib too: it ends with the first failed trial
    if "max_trials" not in draft.budget:
        spec.note("maxTrialCount", "there is none: 40 trials, or every cell of a grid, instead of no end")


def _read_algorithm(part: Part, draft: Draft) -> None:
    algorithm = part.text("algorithmName")
    if algorithm in _IMPOSSIBLE:
        raise part.error("algorithmName", f"{algorithm}: {_IMPOSSIBLE[algorithm]}; choose another algorithm")
    sampler = _SAMPLERS.get(algorithm)
    if sampler is None:
        raise part.error("algorithmName", f"{shown(algorithm)} is not known here; known are {', '.join(_SAMPLERS)}")
    if sampler == "gp":
        draft.sample_by_model(part.at("algorithmName"))
    else:
        draft.sampler = {"name": sampler}
    settings = {one.text("name"): one for one in part.parts("algorithmSettings")}
    if algorithm == "hyperband":
        _read_hyperband(part, settings, draft)
    _read_settings(settings, {**_SETTINGS.get(sampler, {}), "random_state": "seed"}, draft.sampler)
    part.close()


def _read_hyperband(part: Part, settings: dict[str, Part], draft: Draft) -> None:
    """Katib's hyperband lists parameters to run with so many epochs; ours judges trials as they report."""
    draft.pruner = {"name": "hyperband"}
    _read_settings(
        {name: settings.pop(name) for name in ("eta", "r_l") if name in settings},
        {"eta": "reduction_factor", "r_l": "max_resource"},
        draft.pruner,
    )
    resource = settings.pop("resource_name", None)
    if resource is not None:
        name = resource.text("value")
        own = draft.space.names.get(name)
        if own is None or own not in draft.space.searched:
            raise resource.error("value", f"there is no parameter {name!r}")
        draft.space.searched.pop(own)
        most = draft.pruner.get("max_resource")
        if not isinstance(most, int):
            raise part.error("algorithmSettings", "r_l, the largest amount of the resource, is needed and missing")
        draft.space.fixed[own] = most
        resource.note("value", f"{name} is fixed at r_l: the pruner ends trials early instead")
        resource.close()


def _read_early_stopping(part: Part, draft: Draft) -> None:
    algorithm = part.text("algorithmName")
    if algorithm != "medianstop":
        raise part.error("algorithmName", f"{shown(algorithm)} is not known here; known is medianstop")
    draft.pruner = {**_DEFAULT_STOPPING}
    settings = {one.text("name"): one for one in part.parts("algorithmSettings")}
    _read_settings(settings, _STOPPING, draft.pruner)
    part.close()


def _read_settings(settings: Mapping[str, Part], known: Mapping[str, str], into: dict[str, JsonValue]) -> None:
    for name, setting in settings.items():
        if name in known:
            into[known[name]] = setting.maybe_whole("value")
        else:
            setting.note("", f"not carried over: {name}, {into['name']} here has no such setting")
            setting.take("value")
        setting.close()


# -- the program -------------------------------------------------------------------------------------------------------


def _read_template(part: Part, draft: Draft) -> None:
    stand_ins = {}
    for parameter in part.parts("trialParameters"):
        name, reference = parameter.text("name"), parameter.text("reference")
        own = draft.space.names.get(reference, reference if draft.slips else None)  # it may be one with a slip
        parameter.take("description")
        parameter.close()
        if reference.startswith("${trialSpec."):
            parameter.note("reference", "not carried over: there are no names of Kubernetes' here")
            stand_ins[f"${{trialParameters.{name}}}"] = ""
        elif own is None:
            raise parameter.error("reference", f"there is no parameter {reference!r}")
        else:
            stand_ins[f"${{trialParameters.{name}}}"] = f"{{{own}}}"
    container = _primary_container(part)
    if container is not None:
        draft.command = read_command(container, stand_ins)
        note_container(container)
    cluster = "a program that ends with exit code 0 has succeeded"
    part.drop("successCondition", "failureCondition", said=cluster)
    part.drop("primaryPodLabels", "retain", said="there are no pods")
    part.close()


def _primary_container(part: Part) -> Part | None:
    """Return the container whose command is the program, wherever in the template it stands."""
    wanted = part.maybe_text("primaryContainerName")
    if "configMap" in part:
        part.note("configMap", "not carried over: the template stands elsewhere; clients are to train")
        return None
    spec = part.part("trialSpec")
    kind = spec.maybe_text("kind")
    spec.note("", f"of the {kind} the command is carried over, and nothing of how a cluster runs it")
    if kind == "TrainJob":
        return spec.part("spec").maybe_part("trainer")
    found = list(find_containers({name: spec.take(name) for name in spec}, spec.at()))
    named = [(place, one) for place, one in found if one.get("name") == wanted] or (found if len(found) == 1 else [])
    if not named:
        part.note("trialSpec", f"not carried over: a {kind} without a container {wanted!r}; clients are to train")
        return None
    if len(found) > 1:
        part.note("trialSpec", f"not carried over: {len(found) - 1} more containers; one program runs here")
    place, container = named[0]
    return part.elsewhere(container, place)
