"""Jobs that are played without a service move soft bounds as a worker does."""

import math

from benchmarks.playing import Game, Params
from stepsize.domain.soft_bounds import STEP_DECADES, Edge
from stepsize.spec.resolved import ResolvedJobSpec
from stepsize.spec.space import FloatParameter
from tests.builders import make_spec

LOW, HIGH = 1e-3, 1e-1


def spec() -> ResolvedJobSpec:
    space = {"learning_rate": {"type": "float", "low": LOW, "high": HIGH, "log": True}}
    return make_spec(search_space=space, sampler={"name": "tpe", "seed": 1})


def below_the_bounds(number: int, params: Params) -> float | None:
    rate = float(params["learning_rate"])
    return None if rate > 0.05 else (math.log10(rate) + 3.5) ** 2


def test_a_soft_bound_moves_where_good_trials_gather() -> None:
    game = Game(spec(), below_the_bounds, soft=[Edge.LOW, Edge.HIGH])
    game.search(40)

    assert game.spec.search_space is not None
    rate = game.spec.search_space["learning_rate"]
    assert isinstance(rate, FloatParameter)
    assert rate.low is not None
    assert math.isclose(rate.low, LOW * 10 ** (-2 * STEP_DECADES)), "after 10 trials, and again after 15"
    assert rate.high == HIGH
    assert [one.number for one in game.played] == list(range(40))
    best = min(game.played, key=lambda one: math.inf if one.value is None else one.value)
    assert float(best.params["learning_rate"]) < LOW


def test_bounds_that_a_client_gave_stay() -> None:
    game = Game(spec(), below_the_bounds)
    game.search(40)

    assert game.spec == spec()
    assert all(LOW <= float(one.params["learning_rate"]) <= HIGH for one in game.played)
