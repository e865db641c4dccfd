"""Submission: from what a client asked to the spec a worker can run, every default written back.

A resolved spec resolves to itself, so that the `spec` of any job may be posted again.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from stepsize.application.catalogue import Catalogue
from stepsize.application.conditions import check_conditions, check_depth, with_conditions
from stepsize.application.constraints import (
    TEST_PREFIX,
    check_configuration,
    check_outcome_constraints,
    check_parameter_constraints,
    satisfiability_warnings,
)
from stepsize.application.parameters import (
    Choice,
    ParamsSchema,
    check_fixed,
    check_params,
    check_searched,
    own_fixed,
    with_defaults,
)
from stepsize.application.pointers import pointer
from stepsize.datasets.cards import training_samples
from stepsize.domain.pruning import NEVER
from stepsize.domain.trainer import Metric, TrainerCard
from stepsize.errors import FieldError, InvalidRequestError
from stepsize.spec.confirm import MIN_CHECKS, MIN_TRIALS, ConfirmShare, n_kept
from stepsize.spec.constraints import admitted_cells, parameter_rule
from stepsize.spec.expressions import Expression
from stepsize.spec.grid import MAX_CELLS
from stepsize.spec.hints import hint
from stepsize.spec.job import JobSpec
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.resolved import ResolvedBudget, ResolvedJobSpec
from stepsize.spec.samplers import GridSampler, Sampler, sampler_names
from stepsize.spec.seeds import SeedRule
from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter, Parameter, SearchSpace, own_params

DEFAULT_MAX_TRIALS = 40


@dataclass(frozen=True)
class Resolution:
    """A spec with every default written back, and what the client should know about it."""

    spec: ResolvedJobSpec
    warnings: tuple[str, ...]
    total_cells: int | None
    """Cells of the grid that the constraints allow; None: the sampler is not a grid."""

    @property
    def n_confirming(self) -> int:
        """How many of its trials are kept to check the answer."""
        return n_kept(self.spec.confirm, self.spec.budget.max_trials)


def resolve(spec: JobSpec, catalogue: Catalogue) -> Resolution:
    """Check a spec against its trainer's card and fill in every default.

    Raises:
        InvalidRequestError: names each field that is wrong, as far as can be known at once.
    """
    card, unknown = _find_card(spec, catalogue)
    choice = choose(spec, card)
    of_choice = [*unknown, *check_fixed(choice), *check_searched(choice), *check_conditions(choice)]
    of_rest = [
        *_check_rest(spec, card),
        *_check_seeds(spec),
        *check_parameter_constraints(choice, spec.parameter_constraints),
        *_check_outcomes(spec, card),
    ]
    if of_choice:  # what a configuration may be is not known then, but which names there are
        _refuse([*of_choice, *of_rest, *_check_enqueued_names(spec, choice)])
    space = with_conditions(choice)
    trainer = spec.trainer.model_copy(update={"version": card.version or None, "params": with_defaults(choice)})
    enqueue = [own_params(space, params) for params in spec.enqueue]
    spec = spec.model_copy(update={"trainer": trainer, "enqueue": enqueue})
    _refuse([*of_rest, *check_depth(space), *_check_enqueued(spec, space), *_check_countable(spec, space)])
    total_cells = _count_cells(spec, space)
    max_trials = _max_trials(spec, total_cells)
    budget = spec.budget.model_dump() | {"max_trials": max_trials}
    settled = {
        "search_space": space,
        "objectives": _objectives(spec, card),
        "sampler": spec.sampler.model_copy(update={"seed": _seed(spec.sampler)}),
        "budget": ResolvedBudget(**budget),
        "confirm": _confirm(spec, card, space, max_trials),
    }
    resolved = ResolvedJobSpec(**dict(spec) | settled)
    return Resolution(resolved, tuple(_warnings(resolved, card, total_cells)), total_cells)


def certain_errors(spec: JobSpec, catalogue: Catalogue) -> list[FieldError]:
    """Return what is wrong with a spec whatever else it was meant to hold: the names and values in it.

    For a spec that is what is left of one that could not be read in full.
    """
    try:
        card, unknown = _find_card(spec, catalogue)
    except InvalidRequestError as error:
        return list(error.errors)
    choice = choose(spec, card)
    return [
        *unknown,
        *check_fixed(choice, whole=False),
        *check_searched(choice, whole=False),
        *check_parameter_constraints(choice, spec.parameter_constraints, whole=False),
        *_check_objectives(spec, card),
        *_check_outcomes(spec, card),
    ]


def _find_card(spec: JobSpec, catalogue: Catalogue) -> tuple[TrainerCard, list[FieldError]]:
    """Return the trainer's card, or the most similar trainer's and why it is not the one named.

    Raises:
        InvalidRequestError: no trainer is similar.
    """
    if spec.trains_elsewhere:
        return _external_card(spec), []
    return catalogue.find_meant(spec.trainer.name, spec.trainer.version)


def choose(spec: JobSpec, card: TrainerCard) -> Choice:
    """Return which parameters a spec fixes and which it searches."""
    schema = ParamsSchema(card)
    return Choice(schema, own_fixed(schema, spec.trainer.params), _chosen_space(spec, card))


def _external_card(spec: JobSpec) -> TrainerCard:
    """Return what a job itself says of a trainer that runs elsewhere: any value for the parameters it names.

    Raises:
        InvalidRequestError: it doesn't say what is searched, or for what.
    """
    required = {"search_space": spec.search_space, "objectives": spec.objectives}
    _refuse(
        [
            FieldError(pointer(name), "an external job says this itself: there is no trainer to take it from")
            for name, value in required.items()
            if value is None
        ]
    )
    objectives, space = spec.objectives or [], spec.search_space or {}
    constrained = (name for text in spec.outcome_constraints for name in Expression.parse(text).names)
    metrics = dict.fromkeys([*(objective.metric for objective in objectives), *constrained])
    return TrainerCard(
        name=spec.trainer.name,
        version="",
        help="",
        params_schema={"type": "object", "properties": {name: {} for name in [*space, *spec.trainer.params]}},
        metrics=[Metric(name=name) for name in metrics],
        step_unit="step",
        default_search_space=space,
        default_objectives=objectives,
    )


def _check_seeds(spec: JobSpec) -> Iterator[FieldError]:
    if spec.seeds is SeedRule.UNKNOWN and not spec.trains_elsewhere:
        yield FieldError(pointer("seeds"), 'a worker gives its trials their seeds; "fresh" is what is mostly meant')


def _refuse(errors: list[FieldError]) -> None:
    if errors:
        raise InvalidRequestError(errors)


def _chosen_space(spec: JobSpec, card: TrainerCard) -> SearchSpace:
    if spec.search_space is not None:
        return spec.search_space
    return {name: range_ for name, range_ in card.default_search_space.items() if name not in spec.trainer.params}


def _objectives(spec: JobSpec, card: TrainerCard) -> list[Objective]:
    return spec.objectives or card.default_objectives


def _seed(sampler: Sampler) -> int:
    return secrets.randbelow(2**32) if sampler.seed is None else sampler.seed


def _max_trials(spec: JobSpec, total_cells: int | None) -> int:
    return spec.budget.max_trials or total_cells or DEFAULT_MAX_TRIALS


def _confirm(spec: JobSpec, card: TrainerCard, space: SearchSpace, max_trials: int) -> bool | ConfirmShare:
    """Return whether the job's answer is checked: as asked, or where an answer can be expected."""
    if spec.confirm is not None:
        return spec.confirm
    is_grid = isinstance(spec.sampler, GridSampler)
    return max_trials >= MIN_TRIALS and bool(space) and not is_grid and len(_objectives(spec, card)) == 1


def _check_rest(spec: JobSpec, card: TrainerCard) -> Iterator[FieldError]:
    yield from _check_range_tests(spec, card)
    yield from _check_objectives(spec, card)
    if len(_objectives(spec, card)) > 1:
        yield from _check_single_objective(spec)
        if not spec.sampler.supports.multi_objective:
            able = sampler_names(lambda sampler: sampler.supports.multi_objective)
            yield FieldError(
                pointer("sampler", "name"), f"{spec.sampler.name} needs a single objective; {able} take several"
            )
    if spec.confirm and isinstance(spec.sampler, GridSampler):
        yield FieldError(pointer("confirm"), "a grid tries every cell and keeps none back; drop it, or use replicates")
    if spec.resources.gpus > 1:
        yield FieldError(pointer("resources", "gpus"), "a trial over several GPUs is not offered; ask for 1 or less")


def _check_single_objective(spec: JobSpec) -> Iterator[FieldError]:
    """Yield what makes no sense where no trial is simply the best."""
    asked_for = {
        ("pruner",): spec.pruner.judges and "a pruner",
        ("confirm",): bool(spec.confirm) and "to check the answer",
        ("replicates",): spec.replicates is not None and "to replicate the best",
        ("stop_when", "terminator"): spec.stop_when.terminator and "the terminator",
    }
    for at, name in asked_for.items():
        if name:
            yield FieldError(pointer(*at), f"{name} needs a single objective; drop it or all objectives but one")


def _check_outcomes(spec: JobSpec, card: TrainerCard) -> Iterator[FieldError]:
    metrics = [metric.name for metric in card.metrics]
    yield from check_outcome_constraints(card.name, metrics, spec.outcome_constraints)


def _check_range_tests(spec: JobSpec, card: TrainerCard) -> Iterator[FieldError]:
    for name, parameter in (spec.search_space or {}).items():
        if not isinstance(parameter, FloatParameter) or not parameter.range_test:
            continue
        at = pointer("search_space", name, "range_test")
        if name != "learning_rate":
            yield FieldError(at, "only learning_rate has a range test")
        elif not card.capabilities.range_test:
            yield FieldError(at, f"{card.name} has no range test; give low and high")


def _check_objectives(spec: JobSpec, card: TrainerCard) -> Iterator[FieldError]:
    metrics = [metric.name for metric in card.metrics]
    seen: set[str] = set()
    for index, objective in enumerate(_objectives(spec, card)):
        at = pointer("objectives", index, "metric")
        name = objective.metric
        if name.startswith(TEST_PREFIX):
            yield FieldError(at, "a test metric is never an objective: choose on validation data, report on test data")
        elif name not in metrics:
            yield FieldError(at, f"{card.name} doesn't report {name!r}; {hint(name, metrics)}")
        elif name in seen:
            yield FieldError(at, f"{name!r} is an objective already")
        seen.add(name)


def _check_enqueued(spec: JobSpec, space: SearchSpace) -> Iterator[FieldError]:
    for index, params in enumerate(spec.enqueue):
        yield from check_params(params, "enqueue", index, fixed=spec.trainer.params, space=space)
        yield from check_configuration(spec, params, "enqueue", index)


def _check_enqueued_names(spec: JobSpec, choice: Choice) -> Iterator[FieldError]:
    for index, params in enumerate(spec.enqueue):
        for name in params:
            if name not in choice.schema.names:
                yield FieldError(pointer("enqueue", index, name), choice.schema.why_unknown(name))


def _check_countable(spec: JobSpec, space: SearchSpace) -> Iterator[FieldError]:
    """Yield the parameters with more values than the sampler can list, one by one: they are not to be listed here."""
    sampler = spec.sampler
    if isinstance(sampler, GridSampler):
        for name, parameter in space.items():
            yield from _check_grid_values(name, parameter, sampler.points)
    elif sampler.lists_values:
        yield from _check_listable(sampler.name, space)


def _count_cells(spec: JobSpec, space: SearchSpace) -> int | None:
    sampler = spec.sampler
    if not isinstance(sampler, GridSampler):
        return None
    rule = parameter_rule(spec.parameter_constraints, fixed=spec.trainer.params)
    try:
        n_cells = len(admitted_cells(space, rule, points=sampler.points))
    except ValueError as error:
        raise InvalidRequestError([FieldError(pointer("search_space"), str(error))]) from error
    if not n_cells:
        raise InvalidRequestError([FieldError(pointer("parameter_constraints"), "no cell of the grid satisfies them")])
    return n_cells


def _check_grid_values(name: str, parameter: Parameter, points: int | None) -> Iterator[FieldError]:
    at = pointer("search_space", name)
    n_values = parameter.n_values
    if n_values is not None and n_values > MAX_CELLS:
        yield FieldError(at, f"a grid over more than {MAX_CELLS} values would never finish; use a larger step")
    elif isinstance(parameter, FloatParameter) and not parameter.is_bounded:
        yield FieldError(at, "a grid needs low and high")
    elif n_values is None and points is None:
        yield FieldError(at, "a grid needs a step here, choices, or the sampler's points")


def _check_listable(sampler: str, space: SearchSpace) -> Iterator[FieldError]:
    """Yield the parameters with more values than a sampler that lists them all can weigh up."""
    for name, parameter in space.items():
        if (parameter.n_values or 0) > MAX_CELLS:
            able = sampler_names(lambda each: not each.lists_values)
            message = (
                f"{sampler} lists every value, and these are more than {MAX_CELLS}; use a larger step, a float, or one "
                f"of {able}"
            )
            yield FieldError(pointer("search_space", name), message)


def _warnings(spec: ResolvedJobSpec, card: TrainerCard, total_cells: int | None) -> Iterator[str]:
    if not spec.search_space:
        yield "nothing is searched: every trial has the same parameters"
    if total_cells is not None and spec.budget.max_trials < total_cells:
        yield f"the budget ends after {spec.budget.max_trials} of the grid's {total_cells} cells"
    if spec.confirm and (n := n_kept(spec.confirm, spec.budget.max_trials)) < MIN_CHECKS:
        yield f"confirm keeps {n} of {spec.budget.max_trials} trials, too few to check anything"
    yield from _direction_warnings(spec, card)
    yield from _unreached_warnings(spec, card)
    yield from _sampler_warnings(spec)
    yield from _pruner_warnings(spec, card)
    yield from _batch_warnings(spec)
    yield from _fuse_warnings(spec, card)
    if total_cells is None:
        yield from satisfiability_warnings(spec, spec.search_space)


def _direction_warnings(spec: ResolvedJobSpec, card: TrainerCard) -> Iterator[str]:
    natural = {metric.name: metric.direction for metric in card.metrics}
    for objective in spec.objectives:
        expected = natural.get(objective.metric)
        if expected is not None and expected is not objective.direction:
            yield f"the job is to {objective.direction} {objective.metric}, which {card.name} means to {expected}"


def _unreached_warnings(spec: ResolvedJobSpec, card: TrainerCard) -> Iterator[str]:
    """Yield bounds that steps don't reach, and targets that a metric can't."""
    for name, parameter in spec.search_space.items():
        if isinstance(parameter, CategoricalParameter) or (parameter.step or 1) == 1 or parameter.high is None:
            continue
        if parameter.last != parameter.high:
            yield (
                f"{name}: steps of {parameter.step:g} from {parameter.low:g} end at {parameter.last:g}, and "
                f"{parameter.high:g} is never tried"
            )
    ranges = {metric.name: metric.range for metric in card.metrics}
    for objective in spec.objectives:
        lowest, highest = ranges.get(objective.metric) or (None, None)
        best = highest if objective.direction is Direction.MAXIMIZE else lowest
        if objective.target is not None and best is not None and not objective.is_met(best):
            yield f"the target {objective.target:g} is out of reach: {objective.metric} is {best:g} at best"


def _sampler_warnings(spec: ResolvedJobSpec) -> Iterator[str]:
    name, supports, space = spec.sampler.name, spec.sampler.supports, spec.search_space
    conditional = [key for key, parameter in space.items() if parameter.when]
    categorical = [key for key, parameter in space.items() if parameter.type == "categorical"]
    if conditional and not supports.conditional:
        yield f"{name} can't model conditional parameters; it draws them at random: {', '.join(conditional)}"
    if categorical and not supports.categorical:
        yield f"{name} can't model categorical parameters; it draws them at random: {', '.join(categorical)}"
    if spec.warm_start and not spec.sampler.learns_from_others:
        able = sampler_names(lambda sampler: sampler.learns_from_others)
        yield f"{spec.sampler.name} does not learn from earlier trials; {able} do"


def _fuse_warnings(spec: ResolvedJobSpec, card: TrainerCard) -> Iterator[str]:
    """Yield why trials that may be trained as one will each train alone."""
    if spec.resources.fuse == 1:  # "auto" is a wish too
        return
    if card.capabilities.fuse is None:
        yield f"resources.fuse changes nothing: {card.name} can't train several trials as one; leave it out"
    elif spec.sampler.is_heavy:
        able = sampler_names(lambda sampler: not sampler.is_heavy)
        yield f"resources.fuse changes nothing: {spec.sampler.name} proposes no trials beside others; {able} do"
    elif spec.budget.max_parallel_trials == 1:
        yield (
            "resources.fuse changes nothing: budget.max_parallel_trials is 1, and it counts trials, not groups; raise "
            "it, or leave it out"
        )
    else:
        yield from _alone_warnings(spec, card)


def _alone_warnings(spec: ResolvedJobSpec, card: TrainerCard) -> Iterator[str]:
    """Yield what a parameter is in all trials that has each train alone."""
    schema = ParamsSchema(card)
    for name, alone in card.trains_alone.items():
        if not spec.search_space.keys().isdisjoint(schema.when(name)):
            continue  # it is there in some trials only
        searched = spec.search_space.get(name)
        if alone.holds(spec.trainer.params.get(name)) if searched is None else alone.holds_for_all(searched):
            at = f"trainer.params.{name}" if searched is None else f"search_space.{name}"
            yield (
                f"resources.fuse changes nothing: {alone.words(name)}, and {alone.why}; change {at}, or leave "
                "resources.fuse out"
            )


def _batch_warnings(spec: ResolvedJobSpec) -> Iterator[str]:
    """Yield which batches are larger than the data, what is accumulated included: they all train alike."""
    n_samples = training_samples(spec.trainer.params)
    largest = _largest(spec, "batch_size")
    if n_samples is None or largest is None:
        return
    both = {"batch_size", "grad_accumulation"}
    is_bounded = any(both <= {*Expression.parse(text).names} for text in spec.parameter_constraints)
    accumulated = 0 if is_bounded else largest * (_largest(spec, "grad_accumulation") or 1)
    if max(largest, accumulated) > n_samples:
        batch = "a batch" if largest > n_samples else "batch_size times grad_accumulation"
        yield (
            f"{batch} of {n_samples} or more is all {n_samples} training samples: such sizes train alike, and the "
            f"report counts them as {n_samples}"
        )


def _largest(spec: ResolvedJobSpec, name: str) -> float | None:
    match spec.search_space.get(name):
        case IntParameter(high=high):
            return high
        case FloatParameter(high=high):
            return high
        case CategoricalParameter(choices=choices):
            return max((float(choice) for choice in choices if isinstance(choice, int | float)), default=None)
        case _:
            fixed = spec.trainer.params.get(name)
            return float(fixed) if isinstance(fixed, int | float) else None


def _pruner_warnings(spec: JobSpec, card: TrainerCard) -> Iterator[str]:
    """Yield why a pruner can never stop anything: a trial's last step has nothing left to save."""
    pruner = spec.pruner
    if not pruner.judges:
        return
    longest = _longest(spec, card)
    if longest is not None and pruner.first_step >= longest:
        reason = f"trials end at step {longest}" if longest > 1 else "trials report once"
        yield f"{pruner.name} {NEVER}: its first verdict is at step {pruner.first_step}, and {reason}"
    elif spec.budget.max_trials is not None and pruner.n_trials_first >= spec.budget.max_trials:
        yield f"{pruner.name} {NEVER}: {pruner.n_trials_first} run to their end first, which are all"


def _longest(spec: JobSpec, card: TrainerCard) -> int | None:
    """Return the last step of the longest trial; None: not known in advance."""
    searched = (spec.search_space or {}).get(card.max_step_param or "")
    if isinstance(searched, IntParameter):
        return searched.high
    return None if searched is not None else card.last_step(spec.trainer.params)
