"""The only file that holds an Optuna study: a working copy of the record, in memory, in which sampler and pruner think.

Trials come here by the record's numbers and go as draws; Optuna numbers its own in the order in which they enter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import TrialState as OptunaState

from stepsize.domain.seeds import derive_seed
from stepsize.domain.trial import Trial, TrialState
from stepsize.spec.pruners import NoPruner
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.samplers import RandomSampler
from stepsize.spec.space import Scalar, applies, in_dependency_order
from stepsize_workers.sampling.admission import Admission
from stepsize_workers.sampling.builders import PRUNER_MARKS, BuiltSampler, build_pruner, kept_attrs
from stepsize_workers.sampling.distributions import distribution_of, suggest
from stepsize_workers.sampling.optuna_internals import set_trial_attrs, trial_attrs
from stepsize_workers.sampling.proposing import AdmittingSampler, NothingLeftError
from stepsize_workers.warm_start import EarlierTrial

optuna.logging.set_verbosity(optuna.logging.WARNING)

_FEASIBLE = "feasible"
"""The constraint key that every trial of a replica carries: one on only some trials makes the GP sampler raise."""


@dataclass(frozen=True)
class Draw:
    """A configuration that is under way in the study."""

    params: dict[str, Scalar]
    """As clients see them."""
    handle: optuna.trial.Trial
    """The study's own; nobody else's business."""


class WorkingStudy:
    """Draws configurations, judges reports and takes in ends, of those trials that it is shown."""

    def __init__(
        self,
        spec: ResolvedJobSpec,
        admission: Admission,
        *,
        is_replica: bool,
        last_step: Callable[[Mapping[str, Scalar]], int | None],
    ) -> None:
        """Begin with no trials.

        Args:
            admission: what may be drawn.
            is_replica: whether a heavy sampler thinks here. If not, it does in another process, and this study draws
                for it what is to be quick, at random.
            last_step: a trial's parameters → its last step, at which there is nothing left to save; None: unknown.
        """
        self._space = spec.search_space
        self._objectives = spec.objectives
        self._seed = spec.seed
        # To TPE a constraint beside a stand-in changes nothing, and reading them was a third of an ask.
        self._constrains = is_replica
        self._last_step = last_step
        self._highest_step = 0
        self._compares = spec.pruner.compares
        draws_quickly = spec.sampler.is_heavy and not is_replica
        self._built = BuiltSampler(RandomSampler(seed=spec.seed) if draws_quickly else spec.sampler, self._space)
        self._kept = kept_attrs(spec.sampler)
        self._sampler = AdmittingSampler(self._built, admission)
        self._study = optuna.create_study(
            study_name=str(spec.seed),  # by name and number Hyperband chooses a trial's bracket
            directions=[objective.direction.value for objective in self._objectives],
            sampler=self._sampler,
            # The replica judges no reports, and Hyperband's brackets would show its sampler a part of the trials only.
            pruner=build_pruner(NoPruner() if is_replica else spec.pruner),
        )

    @property
    def constraints(self) -> list[dict[str, float]]:
        """What each trial carries as constraints; above 0, it is infeasible."""
        return [dict(trial.constraints) for trial in self._study.trials]

    # -- drawing -----------------------------------------------------------------------------------------------------

    def ask(self, number: int, *, like: Mapping[str, Scalar] | None = None) -> Draw:
        """Draw what to try as trial `number`.

        Args:
            like: what it must share with those of a group.

        Raises:
            NothingLeftError: no configuration is left that is admitted.
            NoneAlikeError: none was found that is like those.
        """
        self._begin(number, like=like)
        handle = self._study.ask()
        try:
            return Draw(self._suggest(handle), handle)
        except NothingLeftError:
            self._study.tell(handle, state=OptunaState.FAIL)
            raise

    def complete(self, number: int, params: Mapping[str, Scalar]) -> Draw:
        """Draw what a client's configuration leaves out, as trial `number`."""
        self._begin(number)
        return self.enter(params)

    def enter(self, params: Mapping[str, Scalar], attrs: Mapping[str, object] | None = None) -> Draw:
        """Put a configuration under way.

        Args:
            attrs: what the record keeps with it of the study's.
        """
        self._study.enqueue_trial({name: self._space[name].as_searched(value) for name, value in params.items()})
        handle = self._study.ask()
        set_trial_attrs(handle, attrs or {})
        return Draw(self._suggest(handle), handle)

    def attrs_to_keep(self, draw: Draw) -> dict[str, object]:
        """Return what the record must keep of a trial for a rebuilt study to be the same (the rungs it has passed)."""
        return {key: value for key, value in trial_attrs(draw.handle).items() if key.startswith(self._kept)}

    def _begin(self, number: int, *, like: Mapping[str, Scalar] | None = None) -> None:
        """Seed the generators from (job seed, trial number): a rebuilt study draws what this one would have."""
        self._sampler.begin(derive_seed(self._seed, "ask", number), like=like)

    def _suggest(self, handle: optuna.trial.Trial) -> dict[str, Scalar]:
        """Draw every parameter that applies, parents first; return them as clients see them."""
        params: dict[str, Scalar] = {}
        for name in in_dependency_order(self._space):
            parameter = self._space[name]
            if applies(parameter, params):
                params[name] = parameter.from_searched(suggest(handle, name, distribution_of(parameter)))
        return params

    # -- learning ----------------------------------------------------------------------------------------------------

    def judge(self, draw: Draw, step: int, value: float) -> bool:
        """Enter a measurement and return whether the trial is to be stopped; never at its end, where it has run anyway.

        Args:
            value: of the first objective.
        """
        draw.handle.report(value, step)
        may_be_last = self._may_be_last(draw, step)
        self._highest_step = max(self._highest_step, step)
        return not may_be_last and draw.handle.should_prune()

    def _may_be_last(self, draw: Draw, step: int) -> bool:
        """Tell whether a trial has run to its end, as far as is known.

        Where nobody knows the end in advance, any step may be it until another trial has gone beyond: a pruner that
        compares waits for that.
        """
        last = self._last_step(draw.params)
        if last is not None:
            return step >= last
        return self._compares and step >= self._highest_step

    def end(self, draw: Draw, state: TrialState, values: Sequence[float] | None) -> None:
        """Take in how a trial under way has ended.

        Args:
            values: of the objectives, or their stand-ins.
        """
        for key, value in self._constraints(state).items():
            draw.handle.set_constraint(key, value)
        optuna_state = _OPTUNA_STATES[state]
        told = list(values) if values and optuna_state is OptunaState.COMPLETE else None
        self._study.tell(draw.handle, told, state=optuna_state)

    def drop(self, draw: Draw) -> None:
        """Forget what was drawn and never ran."""
        self._study.tell(draw.handle, state=OptunaState.FAIL)

    # -- rebuilding --------------------------------------------------------------------------------------------------

    def add_earlier(self, trial: EarlierTrial) -> None:
        """Enter a trial of another job as history."""
        self._study.add_trial(
            optuna.trial.create_trial(
                state=_OPTUNA_STATES[trial.state],
                values=trial.values,
                params=self._as_optuna(trial.params),
                distributions=self._distributions(trial.params),
                intermediate_values={} if trial.step is None else {trial.step: trial.values[0]},
                constraints=self._constraints(trial.state),
            )
        )

    def recall(self, attrs: Mapping[str, object]) -> None:
        """Bring what the sampler keeps with the study up to what a trial of the record says of it."""
        self._built.restore_study(self._study, attrs)

    def add_ended(self, trial: Trial, reported: Mapping[int, float]) -> None:
        """Enter a finished trial of the record as the study would have had it.

        Args:
            reported: step → value of the first objective.
        """
        state = _OPTUNA_STATES[trial.state]
        self._highest_step = max(self._highest_step, *reported, 0)
        self._study.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=self._values(trial, state, reported),
                params=self._as_optuna(trial.params),
                distributions=self._distributions(trial.params),
                system_attrs=dict(trial.study_attrs),
                intermediate_values=dict(reported),
                constraints=self._constraints(trial.state),
            )
        )

    def reopen(self, trial: Trial, reported: Mapping[int, float]) -> Draw:
        """Put a trial of the record under way again, with what it has reported."""
        attrs = {key: value for key, value in trial.study_attrs.items() if not key.startswith(PRUNER_MARKS)}
        draw = self.enter(trial.params, attrs)
        for step, value in sorted(reported.items()):
            self.judge(draw, step, value)  # leaves the marks of the rungs it has passed
        return draw

    def _values(self, trial: Trial, state: OptunaState, reported: Mapping[int, float]) -> Sequence[float] | None:
        match state:
            case OptunaState.COMPLETE:
                return trial.stand_in or [trial.values[objective.metric] for objective in self._objectives]
            case OptunaState.PRUNED if reported:
                return [reported[max(reported)]]  # as Optuna does when it is told PRUNED
            case _:
                return None

    def _constraints(self, state: TrialState) -> dict[str, float]:
        """Return the constraint a trial carries: above 0, it is infeasible."""
        return {_FEASIBLE: 1.0 if state is TrialState.INFEASIBLE else -1.0} if self._constrains else {}

    def _as_optuna(self, params: Mapping[str, Scalar]) -> dict[str, object]:
        return {name: self._space[name].as_searched(value) for name, value in params.items()}

    def _distributions(self, names: Mapping[str, Scalar]) -> dict[str, optuna.distributions.BaseDistribution]:
        return {name: distribution_of(self._space[name]) for name in names}


_OPTUNA_STATES: dict[TrialState, OptunaState] = {
    TrialState.COMPLETED: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.INFEASIBLE: OptunaState.COMPLETE,
    TrialState.FAILED: OptunaState.FAIL,
    TrialState.CANCELLED: OptunaState.FAIL,
}
