"""A search space in the manner of Ray Tune, as JSON or YAML.

A distribution is an object with the name of the function of `ray.tune` and its arguments,
`{"loguniform": [1e-4, 0.1]}`, as Ray's own files write `{"grid_search": [1, 2]}`. Three shapes are taken: the space
alone; `param_space` beside `tune_config` and `run_config`, as `Tuner` has them; and RLlib's experiments,
`NAME: {run, config, stop, num_samples}`.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

from pydantic import JsonValue

from stepsize.conversion.job import Draft, Wanted
from stepsize.conversion.outcome import Converted
from stepsize.conversion.part import Part, shown
from stepsize.conversion.space import Described, Distributions

SOURCE = "a Ray Tune space"
_SEARCHES: Mapping[str, str] = MappingProxyType(
    {
        "random": "random",
        "variant_generator": "random",
        "basic_variant": "random",
        "hyperopt": "tpe",
        "optuna": "tpe",
        "bohb": "tpe",
        "bayesopt": "gp",
        "ax": "gp",
    }
)
"""`search_alg` → sampler."""
_TIMES = ("grace_period", "max_t")
"""What a scheduler counts in its `time_attr`."""
_SCHEDULERS = ("fifo", "asha", "async_hyperband", "hyperband", "medianstopping", "median_stopping_rule")


def is_space(document: Mapping[str, JsonValue]) -> bool:
    """Tell whether a file has a distribution of Ray's anywhere."""
    return any(is_domain(value) or (isinstance(value, dict) and is_space(value)) for value in document.values())


def is_domain(value: JsonValue) -> bool:
    """Tell whether a value is the name of a function of `ray.tune` with arguments."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _DOMAINS


def convert(part: Part, draft: Draft, wanted: Wanted) -> Converted:
    """Return a space as a job whose trials clients train, unless a trainer is wanted.

    Raises:
        ConversionError: something in it has no counterpart.
    """
    if "param_space" in part:
        _read_tuner(part, draft)
    elif _is_experiments(part):
        _read_experiment(part, draft)
    else:
        _add_all(part, "", draft)
    if not draft.space and not draft.slips:
        raise part.error("", "there is nothing to search")
    if not draft.objectives:
        with draft.apart():
            if wanted.objective:
                draft.tune_by(*wanted.objective)
            elif wanted.trainer is None:
                raise part.error(
                    "", "no metric is named; say what to tune by with --metric NAME:minimize, or :maximize"
                )
    _choose_sampler(part, draft)
    return draft.finish(wanted)


# -- the space ---------------------------------------------------------------------------------------------------------


def _add_all(part: Part, prefix: str, draft: Draft) -> None:
    for name in part:
        with draft.apart():
            _add(part, name, f"{prefix}{name}", draft)


def _add(part: Part, name: str, full: str, draft: Draft) -> None:
    value = part.take(name)
    if is_domain(value):
        below = part.part(name)
        function = next(iter(below))
        place = below.at(function)
        draft.space.search(place, full, _DOMAINS[function](_Arguments(below, function), draft))
    elif isinstance(value, dict):
        _refuse_misspelt(part, name, value)
        _add_all(part.part(name), f"{full}.", draft)
    else:
        draft.space.fix(part.at(name), full, value)


def _refuse_misspelt(part: Part, name: str, value: Mapping[str, JsonValue]) -> None:
    """Refuse what can only be meant as a distribution: it would become a fixed list."""
    if "sample_from" in value:
        raise part.error(f"{name}.sample_from", "is Python; write the choices out, or search what it is made of")
    if len(value) != 1:
        return
    ((function, arguments),) = value.items()
    if isinstance(arguments, list) or get_close_matches(function, _DOMAINS, n=1, cutoff=0.8):
        known = ", ".join(_DOMAINS)
        raise part.error(f"{name}.{function}", f"no function of ray.tune is called so; known are {known}")


class _Arguments:
    """What a function of `ray.tune` is given, by place or by name."""

    def __init__(self, part: Part, function: str) -> None:
        self.place = part.at(function)
        self._part = part
        self._function = function
        self._given = part.take(function)

    def values(self) -> list[JsonValue]:
        """Return the only argument, a list."""
        given = self._given
        if isinstance(given, list) and len(given) == 1 and isinstance(given[0], list):
            return given[0]
        if not isinstance(given, list):
            raise self._part.error(self._function, f"a list is expected here, not {shown(given)}")
        return given

    def numbers(self, *names: str) -> tuple[float, ...]:
        """Return the arguments of these names."""
        given = self._given
        if isinstance(given, list):
            given = dict(zip(names, given, strict=False)) if len(given) <= len(names) else None
        if not isinstance(given, dict) or given.keys() - {*names, "base"}:
            raise self._part.error(self._function, f"takes {', '.join(names)}, not {shown(self._given)}")
        below = self._part.elsewhere(given, self.place)
        return tuple(below.number(name) for name in names)


def _uniform(given: _Arguments, draft: Draft) -> Described:
    return Distributions(draft.notes).uniform(*given.numbers("lower", "upper"))


def _quniform(given: _Arguments, draft: Draft) -> Described:
    return Distributions(draft.notes).rounded(given.place, *given.numbers("lower", "upper", "q"))


def _loguniform(given: _Arguments, draft: Draft) -> Described:
    return Distributions(draft.notes).log_uniform(given.place, *given.numbers("lower", "upper"))


def _qloguniform(given: _Arguments, draft: Draft) -> Described:
    return Distributions(draft.notes).rounded(given.place, *given.numbers("lower", "upper", "q"), log=True)


def _randint(given: _Arguments, draft: Draft) -> Described:
    low, high = given.numbers("lower", "upper")
    return Distributions(draft.notes).whole(low, high - 1)  # Ray's upper end is never drawn


def _lograndint(given: _Arguments, draft: Draft) -> Described:
    low, high = given.numbers("lower", "upper")
    return Distributions(draft.notes).whole(low, high - 1, log=True)


def _qrandint(given: _Arguments, draft: Draft) -> Described:
    return Distributions(draft.notes).rounded(given.place, *given.numbers("lower", "upper", "q"))  # here it is drawn


def _qlograndint(given: _Arguments, draft: Draft) -> Described:
    return Distributions(draft.notes).rounded(given.place, *given.numbers("lower", "upper", "q"), log=True)


def _randn(given: _Arguments, draft: Draft) -> Described:
    return Distributions(draft.notes).normal(given.place, *given.numbers("mean", "sd"))


def _choice(given: _Arguments, draft: Draft) -> Described:
    return draft.space.choices(given.place, given.values())


_DOMAINS: MappingProxyType[str, Callable[[_Arguments, Draft], Described]] = MappingProxyType(
    {
        "uniform": _uniform,
        "quniform": _quniform,
        "loguniform": _loguniform,
        "qloguniform": _qloguniform,
        "randint": _randint,
        "qrandint": _qrandint,
        "lograndint": _lograndint,
        "qlograndint": _qlograndint,
        "randn": _randn,
        "choice": _choice,
        "grid_search": _choice,
    }
)


# -- what stands around it ---------------------------------------------------------------------------------------------


def _read_tuner(part: Part, draft: Draft) -> None:
    _add_all(part.part("param_space"), "", draft)
    tune = part.maybe_part("tune_config")
    with draft.apart():
        metric = tune.maybe_text("metric")
        if metric is not None:
            direction = "minimize"
            with draft.apart():
                direction = _direction(tune)
            draft.tune_by(metric, direction)
    with draft.apart():
        _read_counts(tune, draft)
    with draft.apart():
        if "scheduler" in tune:
            _read_scheduler(tune, draft)
    with draft.apart():
        _read_search(tune, draft)
    tune.drop("reuse_actors", "trial_name_creator", "trial_dirname_creator", said="Ray's own")
    with draft.apart():
        tune.close()
    run = part.maybe_part("run_config")
    draft.name = run.maybe_text("name") or ""
    _read_stop(run.maybe_part("stop"), draft)
    run.drop("storage_path", "checkpoint_config", "failure_config", "callbacks", "verbose", said="Ray's own")
    for whole in (run, part):
        with draft.apart():
            whole.close()


def _direction(tune: Part) -> str:
    mode = tune.text("mode")
    if mode not in ("min", "max"):
        raise tune.error("mode", f"is min or max, not {shown(mode)}")
    return "minimize" if mode == "min" else "maximize"


def _read_counts(part: Part, draft: Draft) -> None:
    n_samples, most = part.maybe_whole("num_samples"), part.maybe_whole("max_concurrent_trials")
    if n_samples == -1:
        part.note("num_samples", "-1 is carried over as 40 trials; set budget.max_trials")
    elif n_samples is not None:
        draft.budget["max_trials"] = n_samples
    if most:
        draft.budget["max_parallel_trials"] = most
    if (seconds := part.maybe_number("time_budget_s")) is not None:
        draft.budget["timeout_s"] = seconds


def _read_search(tune: Part, draft: Draft) -> None:
    name = tune.maybe_text("search_alg")
    if name is None:
        return
    sampler = _SEARCHES.get(name)
    if sampler is None:
        raise tune.error("search_alg", f"{shown(name)} is not known here; known are {', '.join(_SEARCHES)}")
    if sampler == "gp":
        draft.sample_by_model(tune.at("search_alg"))
    else:
        draft.sampler = {"name": sampler}


def _read_scheduler(tune: Part, draft: Draft) -> None:
    given = tune.take("scheduler")
    settings = tune.elsewhere(given if isinstance(given, dict) else {"name": given}, tune.at("scheduler"))
    name = settings.text("name")
    if name not in _SCHEDULERS:
        raise settings.error("name", f"{shown(name)} is not known here; known are {', '.join(_SCHEDULERS)}")
    is_median = name in ("medianstopping", "median_stopping_rule")
    counts = settings.maybe_text("time_attr") or ("time_total_s" if is_median else "training_iteration")
    if counts != "training_iteration":
        settings.drop("grace_period", said=f"Ray counts {counts} there, and pruners here count steps")
    known: Mapping[str, str] = {}
    match name:
        case "asha" | "async_hyperband":
            draft.pruner = {"name": "asha"}
            known = {"grace_period": "min_resource", "reduction_factor": "reduction_factor"}
        case "hyperband":
            draft.pruner = {"name": "hyperband"}
            known = {"max_t": "max_resource", "reduction_factor": "reduction_factor"}
        case "medianstopping" | "median_stopping_rule":
            draft.pruner = {"name": "median"}
            known = {"grace_period": "n_warmup_steps", "min_samples_required": "n_startup_trials"}
        case _:
            pass
    for theirs, ours in known.items():
        value = settings.maybe_whole(theirs) if counts == "training_iteration" or theirs not in _TIMES else None
        if value is not None and draft.pruner is not None:
            draft.pruner[ours] = value
    settings.drop("max_t", said="how long a trial trains its trainer says") if "max_t" not in known else None
    settings.close()


def _read_stop(stop: Part, draft: Draft) -> None:
    """A trial's own limits; what it is to reach is a target of the job."""
    for name in stop:
        value = stop.number(name)
        if name == "time_total_s":
            draft.budget["trial_timeout_s"] = value
        elif draft.objectives and draft.objectives[0]["metric"] == name:
            draft.objectives[0]["target"] = value
        elif name == "training_iteration":
            stop.note(name, f"not carried over: trials of {value:g} iterations; how long one trains its trainer says")
        else:
            stop.note(name, "not carried over: it ends a trial in Ray")


def _is_experiments(part: Part) -> bool:
    return all(isinstance(one := part.take(name), dict) and "run" in one and "config" in one for name in part)


def _read_experiment(part: Part, draft: Draft) -> None:
    names = list(part)
    if len(names) > 1:
        raise part.error("", f"holds {len(names)} experiments, {', '.join(names)}; keep one")
    draft.name = names[0]
    experiment = part.part(names[0])
    draft.trainer = experiment.text("run")
    experiment.note("run", "its algorithm is not known here: clients train, or name a --trainer")
    if (env := experiment.take("env")) is not None:
        draft.space.fix(experiment.at("env"), "env", env)
    _add_all(experiment.part("config"), "", draft)
    stop = experiment.maybe_part("stop")
    reward = next((name for name in stop if name.endswith("reward_mean")), None)
    if reward is not None:
        draft.tune_by(reward, "maximize")
    _read_stop(stop, draft)
    _read_counts(experiment, draft)
    experiment.drop("local_dir", "checkpoint_freq", "checkpoint_at_end", "pass_criteria", said="Ray's own")
    experiment.close()


def _choose_sampler(part: Part, draft: Draft) -> None:
    if draft.sampler:
        return
    kinds = {one["type"] for one in draft.space.searched.values()}
    is_grid = _only_grids(part)
    if is_grid and kinds == {"categorical"}:
        draft.sampler = {"name": "grid"}
        n_samples = draft.budget.pop("max_trials", None)
        if isinstance(n_samples, int) and n_samples > 1:
            part.note("num_samples", f"each cell is trained once, not {n_samples} times; replicates repeats the best")
        return
    draft.sampler = {"name": "random"}
    if is_grid is None:
        part.note("grid_search", "beside distributions its values are drawn at random; not all of them may come")


def _only_grids(part: Part) -> bool | None:
    """Tell whether everything is visited by grid; None: some is, and some is drawn."""
    functions = set(_functions({name: part.take(name) for name in part}))
    if "grid_search" not in functions:
        return False
    return True if functions == {"grid_search"} else None


def _functions(value: JsonValue) -> list[str]:
    if not isinstance(value, dict):
        return []
    if is_domain(value):
        return [next(iter(value))]
    return [name for below in value.values() for name in _functions(below)]
