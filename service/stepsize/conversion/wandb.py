"""A W&B sweep: the YAML that `wandb sweep` takes."""

import math
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from types import MappingProxyType

from pydantic import JsonValue

from stepsize.conversion.job import Draft, Wanted
from stepsize.conversion.outcome import Converted
from stepsize.conversion.part import Part, shown
from stepsize.conversion.space import Described, Distributions

SOURCE = "a W&B sweep"
_METHODS = "grid, random or bayes"
_ELSEWHERE = "where W&B keeps results; ours are kept by the service"
_LAUNCH = "W&B Launch starts its runs elsewhere; describe the program for a worker, or let clients ask for trials"
_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
"""What W&B runs where a sweep has no `command`."""


def convert(part: Part, draft: Draft, wanted: Wanted) -> Converted:
    """Return a sweep as a job.

    Raises:
        ConversionError: something in it has no counterpart.
    """
    draft.name = part.maybe_text("name") or ""
    program = part.maybe_text("program")
    draft.trainer = _trainer_name(program, draft.name)
    parameters = part.part("parameters")
    for name in parameters:
        with draft.apart():
            _add(parameters.part(name), name, draft)
    with draft.apart():
        _read_budget(part, draft)
    with draft.apart():
        _read_method(part, draft)
    with draft.apart():
        _read_metric(part, draft, wanted)
    with draft.apart():
        if "early_terminate" in part:
            _read_early_terminate(part.part("early_terminate"), draft)
    with draft.apart():
        draft.command = _command(part, program, draft)
    part.drop("project", "entity", said=_ELSEWHERE)
    part.drop("description", said="jobs have a name and labels")
    part.drop("job", "launch", "scheduler", "imageuri", "image_uri", "resource", said=_LAUNCH)
    part.drop("controller", said="the search runs in our workers")
    with draft.apart():
        part.close()
    return draft.finish(wanted)


def _trainer_name(program: str | None, name: str) -> str:
    stem = PurePosixPath(program).stem if program else name
    return re.sub(r"\W+", "_", stem).strip("_")


# -- parameters --------------------------------------------------------------------------------------------------------


def _add(part: Part, name: str, draft: Draft) -> None:
    """Add one parameter, or those below it under names of their own."""
    if "parameters" in part:
        below = part.part("parameters")
        for inner in below:
            with draft.apart():
                _add(below.part(inner), f"{name}.{inner}", draft)
        part.close()
        return
    distribution = part.maybe_text("distribution") or _implied(part)
    part.drop(
        "probabilities", said="all values are equally likely; list a value with its like, or leave it to the search"
    )
    if distribution == "constant":
        draft.space.fix(part.at(), name, part.take("value"))
    else:
        draft.space.search(part.at(), name, _searched(part, distribution, draft))
    part.close()


def _implied(part: Part) -> str:
    """Return the distribution that W&B takes where none is named."""
    if part.take("value") is not None:
        return "constant"
    if "values" in part:
        return "categorical"
    if "min" in part and "max" in part:
        ends = (part.take("min"), part.take("max"))
        return "int_uniform" if all(isinstance(end, int) for end in ends) else "uniform"
    if "mu" in part and "sigma" in part:
        return "normal"
    raise part.error("", "give value, values, or min and max")


def _searched(part: Part, distribution: str, draft: Draft) -> Described:
    if distribution in ("categorical", "categorical_w_probabilities"):
        return draft.space.choices(part.at("values"), part.items("values"))
    read = _DISTRIBUTIONS.get(distribution)
    if read is None:
        known = ", ".join(["constant", "categorical", *_DISTRIBUTIONS])
        raise part.error("distribution", f"{shown(distribution)} is not known here; known are {known}")
    return read(part, Distributions(draft.notes))


def _int_uniform(part: Part, ours: Distributions) -> Described:
    return ours.whole(part.number("min"), part.number("max"))


def _uniform(part: Part, ours: Distributions) -> Described:
    return ours.uniform(part.number("min"), part.number("max"))


def _log_uniform(part: Part, ours: Distributions) -> Described:
    low, high = _exponential(part, "min"), _exponential(part, "max")
    return ours.log_uniform(part.at("min"), low, high)


def _log_uniform_values(part: Part, ours: Distributions) -> Described:
    return ours.log_uniform(part.at("min"), part.number("min"), part.number("max"))


def _inv_log_uniform(part: Part, ours: Distributions) -> Described:
    return ours.log_uniform(part.at("max"), 1 / _exponential(part, "max"), 1 / _exponential(part, "min"))


def _q_uniform(part: Part, ours: Distributions) -> Described:
    return ours.rounded(part.at("q"), part.number("min"), part.number("max"), _q(part))


def _q_log_uniform(part: Part, ours: Distributions) -> Described:
    return ours.rounded(part.at("q"), _exponential(part, "min"), _exponential(part, "max"), _q(part), log=True)


def _q_log_uniform_values(part: Part, ours: Distributions) -> Described:
    return ours.rounded(part.at("q"), part.number("min"), part.number("max"), _q(part), log=True)


def _normal(part: Part, ours: Distributions) -> Described:
    return ours.normal(part.at("distribution"), *_mu_and_sigma(part))


def _log_normal(part: Part, ours: Distributions) -> Described:
    return ours.normal(part.at("distribution"), *_mu_and_sigma(part), log=True)


def _q_normal(part: Part, ours: Distributions) -> Described:
    reached = ours.normal(part.at("distribution"), *_mu_and_sigma(part))
    return _rounded_to_q(part, ours, reached, log=False)


def _q_log_normal(part: Part, ours: Distributions) -> Described:
    reached = ours.normal(part.at("distribution"), *_mu_and_sigma(part), log=True)
    return _rounded_to_q(part, ours, reached, log=True)


def _beta(part: Part, ours: Distributions) -> Described:
    part.note("distribution", "not carried over: a beta distribution; searched evenly from 0 to 1")
    part.number("a"), part.number("b")
    reached = ours.uniform(0, 1)
    return _rounded_to_q(part, ours, reached, log=False) if "q" in part else reached


def _rounded_to_q(part: Part, ours: Distributions, reached: Described, *, log: bool) -> Described:
    low, high = reached["low"], reached["high"]
    assert isinstance(low, float), "made from numbers"
    assert isinstance(high, float), "made from numbers"
    return ours.rounded(part.at("q"), low, high, _q(part), log=log)


_DISTRIBUTIONS: MappingProxyType[str, Callable[[Part, Distributions], Described]] = MappingProxyType(
    {
        "int_uniform": _int_uniform,
        "uniform": _uniform,
        "q_uniform": _q_uniform,
        "log_uniform": _log_uniform,
        "log_uniform_values": _log_uniform_values,
        "q_log_uniform": _q_log_uniform,
        "q_log_uniform_values": _q_log_uniform_values,
        "inv_log_uniform": _inv_log_uniform,
        "inv_log_uniform_values": _log_uniform_values,  # even in log(1/x): the same as even in log(x)
        "normal": _normal,
        "q_normal": _q_normal,
        "log_normal": _log_normal,
        "q_log_normal": _q_log_normal,
        "beta": _beta,
        "q_beta": _beta,
    }
)


def _exponential(part: Part, name: str) -> float:
    """Return e to the power under a name: what W&B's `log_uniform` gives are exponents."""
    try:
        return float(f"{math.exp(part.number(name)):.6g}")
    except OverflowError:
        raise part.error(name, "this is the exponent of e, and too large; log_uniform_values takes the value") from None


def _q(part: Part) -> float:
    q = part.maybe_number("q")
    return 1 if q is None else q


def _mu_and_sigma(part: Part) -> tuple[float, float]:
    mu, sigma = part.maybe_number("mu"), part.maybe_number("sigma")
    return (0.0 if mu is None else mu, 1.0 if sigma is None else sigma)


# -- the search --------------------------------------------------------------------------------------------------------


def _read_budget(part: Part, draft: Draft) -> None:
    run_cap = part.maybe_whole("run_cap")
    if run_cap is not None:
        draft.budget["max_trials"] = run_cap
    elif part.take("method") != "grid":
        part.note("run_cap", "there is none, and the sweep would never end: 40 trials, or set budget.max_trials")


def _read_method(part: Part, draft: Draft) -> None:
    if "scheduler" in part and "method" not in part:
        part.note("method", "there is none, a scheduler of W&B Launch chooses: carried over as tpe")
        return
    method = part.text("method")
    match method:
        case "grid" | "random":
            draft.sampler = {"name": method}
        case "bayes":
            draft.sample_by_model(part.at("method"))
        case _:
            raise part.error("method", f"{shown(method)} is not known here; known are {_METHODS}")


def _read_metric(part: Part, draft: Draft, wanted: Wanted) -> None:
    if "metric" not in part:
        if wanted.objective:
            draft.tune_by(*wanted.objective)
        elif wanted.trainer is None:
            raise part.error("metric", "there is none; say what to tune by with --metric NAME:minimize, or :maximize")
        return
    metric = part.part("metric")
    goal = metric.maybe_text("goal") or "minimize"
    if goal not in ("minimize", "maximize"):
        raise metric.error("goal", f"is minimize or maximize, not {shown(goal)}")
    draft.tune_by(metric.text("name"), goal, metric.maybe_number("target"))
    metric.drop(
        "impute", "impute_while_running", said="a failed trial teaches nothing, an infeasible one the worst value"
    )
    metric.close()


def _read_early_terminate(part: Part, draft: Draft) -> None:
    """W&B's hyperband is one bracket of successive halving, judged as reports come: our asha."""
    kind = part.maybe_text("type") or "hyperband"
    if kind != "hyperband":
        raise part.error("type", f"{shown(kind)} is not known here; known is hyperband")
    eta = part.maybe_whole("eta") or 3
    least, most = part.maybe_whole("min_iter"), part.maybe_whole("max_iter")
    n_brackets = part.maybe_whole("s")
    if least is None:
        if most is None:
            raise part.error("", "give min_iter, or max_iter and s")
        least = max(1, most // eta ** (n_brackets or 1))
    draft.pruner = {"name": "asha", "min_resource": least, "reduction_factor": eta}
    part.note("type", "carried over as asha: W&B's hyperband compares trials at fixed steps, as ours of that name does")
    part.drop("strict", said="asha stops all but the best at each of its steps")
    part.close()


# -- the program -------------------------------------------------------------------------------------------------------


def _command(part: Part, program: str | None, draft: Draft) -> list[str] | None:
    given = part.items("command")
    words = [str(word) for word in given] or list(_COMMAND)
    if program is None and "${program}" in words:
        if not given:
            part.note("program", "there is none: clients ask for trials (engine: external), or name a --trainer")
            return None
        raise part.error("program", "this is needed where command has ${program}")
    part.note("program", "it is to print reports as lines of JSON instead of wandb.log")
    if any(isinstance(value, bool) for value in _values(draft)):
        part.note("parameters", "truth values reach the program as true and false, not True and False")
    return [argument for word in words for argument in _argument(part, word, program or "", draft)]


def _argument(part: Part, word: str, program: str, draft: Draft) -> list[str]:
    """Return what stands in place of one word of `command`."""
    names = draft.space.names.items()
    match word:
        case "${env}":
            return ["/usr/bin/env"]
        case "${interpreter}":
            return ["python", "-u"]
        case "${program}":
            return [program]
        case "${args}":
            return [f"--{name}={{{own}}}" for name, own in names]
        case "${args_no_hyphens}":
            return [f"{name}={{{own}}}" for name, own in names]
        case "${args_no_boolean_flags}":
            part.note("command", "not carried over: flags without a value; a truth value goes as --name=true or =false")
            return [f"--{name}={{{own}}}" for name, own in names]
        case "${args_json}" | "${args_json_file}":
            part.note("command", f"not carried over: {word}; the program finds a JSON file at $STEPSIZE_PARAMS_FILE")
            return []
    if "${" in word:
        raise part.error("command", f"{shown(word)} is not known here; write what stands for it")
    if re.search(r"\{\w+\}", word):
        raise part.error("command", f"{shown(word)}: a word in braces would be taken for a parameter here")
    return [word]


def _values(draft: Draft) -> list[JsonValue]:
    choices: list[JsonValue] = []
    for described in draft.space.searched.values():
        listed = described.get("choices")
        choices += listed if isinstance(listed, list) else []
    return [*draft.space.fixed.values(), *choices]
