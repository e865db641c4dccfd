"""An Optuna study, read from its storage. Needs Optuna."""

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from stepsize.spec.hints import hint
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, Parameter, Scalar, applies, is_among
from stepsize.spec.wording import counted, pydantic_words
from stepsize.studies.optuna_storage import open_storage
from stepsize.studies.past import End, PastStudy, PastTrial, StudyError

_OVER = {TrialState.COMPLETE: End.COMPLETED, TrialState.PRUNED: End.PRUNED, TrialState.FAIL: End.FAILED}


def read_study(storage: str, name: str | None = None, *, metrics: Sequence[str] = ()) -> PastStudy:
    """Return a study.

    Args:
        storage: a URL as Optuna takes it (`sqlite:///study.db`), or the path of a journal file.
        name: the study's; null: the only one there is.
        metrics: what its objectives are called here; empty: what it calls them itself, else `value`.

    Raises:
        StudyError: it can't be read, or nothing of it can be carried over.
    """
    study = _load(storage, name)
    try:
        return _read(study, metrics)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        said = pydantic_words(wrong["type"], wrong.get("ctx", {}), wrong["msg"])
        raise StudyError(
            f"{study.study_name!r} can't be carried over: {'.'.join(map(str, wrong['loc']))}: {said}"
        ) from None


def _read(study: optuna.Study, metrics: Sequence[str]) -> PastStudy:
    trials = [trial for trial in study.trials if trial.state in _OVER]
    notes = _unfinished(study.trials) + _left_out(study, trials)
    space, unknown = _space(trials)
    kept = [trial for trial in trials if trial.params and trial.params.keys() == _applying(space, trial)]
    if len(kept) < len(trials):
        about = f": {', '.join(sorted(unknown))}" if unknown else ""
        notes.append(f"{counted(len(trials) - len(kept), 'trial')} without all parameters of the others{about}")
    if not kept:
        raise StudyError(f"{study.study_name!r} has no finished trial that can be carried over")
    objectives = _objectives(study, metrics)
    past = tuple(_past(trial, objectives, space) for trial in kept)
    constraints = sorted({metric for trial in past for metric in trial.values} - {one.metric for one in objectives})
    return PastStudy(
        study.study_name,
        space,
        objectives,
        tuple(constraints),
        past,
        tuple(notes),
    )


def _load(storage: str, name: str | None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    called = storage
    try:
        opened, called = open_storage(storage)
        names = optuna.get_all_study_names(opened)
        if not names:
            raise StudyError(f"{called} holds no study")
        if name is None and len(names) > 1:
            raise StudyError(f"{called} holds {len(names)} studies: name one with --study: {', '.join(names)}")
        if name is not None and name not in names:
            raise StudyError(f"there is no study {name!r} in {called}; {hint(name, names)}")
        return optuna.load_study(study_name=name or names[0], storage=opened)
    except StudyError:
        raise
    except Exception as error:
        said = " ".join(str(error).replace(storage, called).split())[:300]
        raise StudyError(f"{called} can't be read: {said}") from error


def _unfinished(trials: Iterable[FrozenTrial]) -> list[str]:
    states = Counter(trial.state.name.lower() for trial in trials if trial.state not in _OVER)
    return [f"{counted(n, 'trial')} still {state}" for state, n in sorted(states.items())]


def _left_out(study: optuna.Study, trials: Sequence[FrozenTrial]) -> list[str]:
    notes = []
    names = sorted({name for trial in trials for name in trial.user_attrs})
    if names:
        notes.append(f"user attributes of trials: {', '.join(names[:10])}")
    if study.user_attrs:
        notes.append(f"user attributes of the study: {', '.join(sorted(study.user_attrs)[:10])}")
    n_lost = sum(not math.isfinite(value) for trial in trials for value in trial.intermediate_values.values())
    n_before = sum(step < 0 for trial in trials for step in trial.intermediate_values)
    if n_lost:
        notes.append(f"{counted(n_lost, 'report')} without a finite number")
    if n_before:
        notes.append(f"{counted(n_before, 'report')} of steps below 0")
    if any(trial.state is TrialState.FAIL for trial in trials):
        notes.append("why trials failed: Optuna keeps no message")
    notes.append("when trials ran and for how long: here it is when they were imported")
    return notes


# -- the search space --------------------------------------------------------------------------------------------------


def _space(trials: Sequence[FrozenTrial]) -> tuple[dict[str, Parameter], set[str]]:
    """Return what was searched, and the parameters that only some trials have for no reason that can be seen."""
    whole = [trial for trial in trials if trial.state is not TrialState.FAIL] or trials  # a failed one may have begun
    found: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            seen = found.setdefault(name, [])
            if distribution not in seen:
                seen.append(distribution)
    space = {name: _parameter(name, distributions) for name, distributions in found.items()}
    everywhere = {name for name in space if all(name in trial.params for trial in whole)}
    unknown = set()
    for name in [name for name in space if name not in everywhere]:
        when = _when(name, whole, [parent for parent in everywhere if space[parent].type == "categorical"])
        if when is None:
            unknown.add(name)
        else:
            space[name] = space[name].model_copy(update={"when": when})
    for name in unknown:
        del space[name]
    return space, unknown


def _applying(space: Mapping[str, Parameter], trial: FrozenTrial) -> set[str]:
    """Return the parameters that a trial should have."""
    params = {name: _scalar(value) for name, value in trial.params.items()}
    return {name for name, parameter in space.items() if applies(parameter, params)}


def _when(name: str, trials: Sequence[FrozenTrial], parents: Sequence[str]) -> dict[str, list[Scalar]] | None:
    """Return the choices of a parent with which a parameter always comes, and without which it never does."""
    for parent in parents:
        with_it = [trial.params[parent] for trial in trials if name in trial.params]
        without = [trial.params[parent] for trial in trials if name not in trial.params]
        values: list[Scalar] = []
        for value in with_it:
            if not is_among(value, values):
                values.append(value)
        if not any(is_among(value, values) for value in without):
            return {parent: values}
    return None


def _parameter(name: str, distributions: Sequence[BaseDistribution]) -> Parameter:
    """Return a parameter that can take all that any trial could."""
    floats = [one for one in distributions if isinstance(one, FloatDistribution)]
    ints = [one for one in distributions if isinstance(one, IntDistribution)]
    choices = [one for one in distributions if isinstance(one, CategoricalDistribution)]
    if len(floats) == len(distributions):
        low, high = min(one.low for one in floats), max(one.high for one in floats)
        step = floats[0].step if len(floats) == 1 else None
        log = all(one.log for one in floats)
        return FloatParameter(type="float", low=low, high=high, log=log, step=step)
    if len(ints) == len(distributions):
        first, last = min(one.low for one in ints), max(one.high for one in ints)
        log = all(one.log for one in ints)
        distance = ints[0].step if len(ints) == 1 and not log else 1
        return IntParameter(type="int", low=first, high=last, log=log, step=distance)
    if len(choices) == len(distributions):
        values: list[Scalar] = []
        for value in [_scalar(value) for one in choices for value in one.choices]:
            if not is_among(value, values):
                values.append(value)
        return CategoricalParameter(type="categorical", choices=values)
    raise StudyError(f"{name!r} is a number in some trials and a choice in others, which no job can search")


def _scalar(value: object) -> Scalar:
    return value if isinstance(value, bool | int | float | str) else str(value)


# -- trials ------------------------------------------------------------------------------------------------------------


def _objectives(study: optuna.Study, given: Sequence[str]) -> tuple[Objective, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        own = study.metric_names
    directions = [Direction(direction.name.lower()) for direction in study.directions]
    several = [f"value_{at}" for at in range(len(directions))]
    names = list(given) or own or (["value"] if len(directions) == 1 else several)
    if len(names) != len(directions):
        raise StudyError(f"objectives of the study: {len(directions)}; metrics named by --metric: {len(names)}")
    return tuple(Objective(metric=name, direction=direction) for name, direction in zip(names, directions, strict=True))


def _past(trial: FrozenTrial, objectives: Sequence[Objective], space: Mapping[str, Parameter]) -> PastTrial:
    end = _OVER[trial.state]
    values: dict[str, float] = {}
    if end is End.COMPLETED:
        values = {one.metric: value for one, value in zip(objectives, trial.values, strict=True)}
        if not all(map(math.isfinite, values.values())):
            end, values = End.DIVERGED, {}
    if end is End.PRUNED and len(objectives) > 1:
        end = End.FAILED
    return PastTrial(
        trial.number,
        {name: _scalar(value) for name, value in trial.params.items() if name in space},
        end,
        values | (_constraints(trial) if values else {}),
        {
            step: value
            for step, value in sorted(trial.intermediate_values.items())
            if step >= 0 and math.isfinite(value) and len(objectives) == 1
        },
    )


def _constraints(trial: FrozenTrial) -> dict[str, float]:
    """Return a trial's constraints, above 0 where they are broken: those of Optuna 5, and of samplers before it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        found = trial.constraints
    named = found.items() if isinstance(found, Mapping) else enumerate(found or [])
    return {f"constraint_{name}": float(value) for name, value in named if math.isfinite(value)}
