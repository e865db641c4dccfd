"""TPE that reads ended trials once: it draws what Optuna's own draws."""

import random
from collections.abc import Iterator
from typing import Any, Literal

import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import Trial
from optuna.trial import TrialState as OptunaState

from stepsize_workers.sampling.optuna_internals import TpeBesideGiven, n_good

Direction = Literal["minimize", "maximize"]
N_TRIALS = 90
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


class OptunasOwn(TPESampler):
    """With as many good trials as ours has."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._gamma = n_good


def make(kind: type[TPESampler], **options: Any) -> TPESampler:
    return kind(seed=3, n_startup_trials=8, multivariate=True, **options)


def suggest(trial: Trial, *, is_conditional: bool) -> dict[str, Any]:
    params: dict[str, Any] = {
        "rate": trial.suggest_float("rate", 1e-5, 1.0, log=True),
        "size": trial.suggest_int("size", 4, 8),
        "kind": trial.suggest_categorical("kind", ["sgd", "adam"]),
    }
    if is_conditional and params["kind"] == "sgd":
        params["momentum"] = trial.suggest_float("momentum", 0.0, 0.99)
    return params


def play(sampler: BaseSampler, *, direction: Direction, is_conditional: bool, ends: str) -> Iterator[dict[str, Any]]:
    """Run a study with up to six trials under way that end in any order; yield what each tried."""
    draw = random.Random(0)
    study = optuna.create_study(direction=direction, sampler=sampler)
    study.enqueue_trial({"rate": 0.1, "kind": "adam"})
    under_way: list[Trial] = []
    for _ in range(N_TRIALS):
        trial = study.ask()
        yield suggest(trial, is_conditional=is_conditional)
        under_way.append(trial)
        while len(under_way) > 5 or (under_way and draw.random() < 0.5):
            ended = under_way.pop(draw.randrange(len(under_way)))
            how = draw.random()
            if ends == "all kinds" and how < 0.1:
                study.tell(ended, state=OptunaState.FAIL)
            elif (ends == "mostly pruned" and how < 0.9) or (ends == "all kinds" and how < 0.4):
                ended.report(ended.params["rate"], draw.randrange(3))
                study.tell(ended, state=OptunaState.PRUNED)
            elif ends == "constrained" and how < 0.3:
                ended.set_constraint("room", 1.0)
                study.tell(ended, 5.0)
            else:
                study.tell(ended, round(ended.params["rate"], 1))  # many are equal


@pytest.mark.parametrize("ends", ["completed", "all kinds", "mostly pruned", "constrained"])
@pytest.mark.parametrize("is_conditional", [False, True], ids=["plain", "conditional"])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_draws_what_optunas_own_draws(direction: Direction, is_conditional: bool, ends: str) -> None:
    theirs, ours = (
        list(play(make(kind, group=is_conditional), direction=direction, is_conditional=is_conditional, ends=ends))
        for kind in (OptunasOwn, TpeBesideGiven)
    )
    assert ours == theirs


def test_a_fifth_of_the_trials_count_as_good() -> None:
    assert [n_good(n) for n in (1, 5, 6, 50, 1000)] == [1, 1, 2, 10, 25]


def test_it_reads_ended_trials_once(monkeypatch: pytest.MonkeyPatch) -> None:
    n_read = 0
    params_of = TPESampler._get_params

    def counting(*args: Any) -> Any:
        nonlocal n_read
        n_read += 1
        return params_of(*args)

    monkeypatch.setattr(TPESampler, "_get_params", counting)
    assert (
        len(list(play(make(TpeBesideGiven), direction="minimize", is_conditional=False, ends="completed"))) == N_TRIALS
    )
    assert n_read <= 3 * N_TRIALS, "once while it runs, once when it has ended, and those before the first ask of TPE"
