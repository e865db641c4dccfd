"""What values a parameter can take: each question has one answer, whoever asks it."""

import math
import random
from collections import Counter
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from stepsize.spec.space import FloatParameter, IntParameter, Parameter, SearchSpace, applies, draw_params, own_params
from stepsize_workers.sampling.distributions import distribution_of, suggest

DISCRETE: dict[str, dict[str, object]] = {
    "choices": {"type": "categorical", "choices": [True, 1, "one", 1.0]},
    "powers": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
    "steps": {"type": "int", "low": 1, "high": 8, "step": 3},
    "logarithmic": {"type": "int", "low": 3, "high": 9, "log": True},
    "stepped": {"type": "float", "low": 0.0, "high": 0.99, "step": 0.33},
    "single": {"type": "float", "low": 0.5, "high": 0.5},
    "below zero": {"type": "float", "low": -0.3, "high": 0.3, "step": 0.1},
}
CONTINUOUS: dict[str, dict[str, object]] = {
    "linear": {"type": "float", "low": -1.0, "high": 3.0},
    "log": {"type": "float", "low": 1e-6, "high": 10.0, "log": True},
}
FINE_STEPS: list[tuple[float, float, float]] = [
    (0.0, 10_000.0, 1e-5),
    (-1e6, 1e6, 1e-6),
    (0.1, 0.3, 0.1),
    (1e-5, 1.0, 1e-5),
    (1e9, 1e9 + 10, 1e-4),
    (0.0, 1e-11, 1e-12),
    (0.0, 1.0, 0.3),
]


def parameter(body: dict[str, object]) -> Parameter:
    return TypeAdapter[Parameter](Parameter).validate_python(body)


def space(**bodies: dict[str, object]) -> SearchSpace:
    return {name: parameter(body) for name, body in bodies.items()}


@pytest.mark.parametrize("name", DISCRETE)
def test_every_value_of_a_discrete_parameter_is_counted_and_found(name: str) -> None:
    one = parameter(DISCRETE[name])
    values = one.values(points=1)
    assert one.n_values == len(values)
    assert [one.index_of(value) for value in values] == list(range(len(values)))
    assert [one.value_at(one.position_of(value)) for value in values] == values
    assert [one.nearest(value) for value in values] == values


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_continuous_value_keeps_its_position(name: str) -> None:
    one = parameter(CONTINUOUS[name])
    assert one.n_values is None
    for position in (0.0, 0.25, 0.999, 1.0):
        # 1e-12: a logarithm and its inverse.
        assert math.isclose(one.position_of(one.value_at(position)), position, abs_tol=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_grid_over_a_continuum_reaches_both_ends_exactly(name: str) -> None:
    one = parameter(CONTINUOUS[name])
    values = one.values(points=5)
    assert len(values) == 5
    assert (values[0], values[-1]) == (CONTINUOUS[name]["low"], CONTINUOUS[name]["high"])
    with pytest.raises(ValueError, match="a grid needs a step"):
        one.values()


@pytest.mark.parametrize("name", [*DISCRETE, *CONTINUOUS])
def test_uniform_draws_are_values_the_parameter_can_take(name: str) -> None:
    one, generator = parameter((DISCRETE | CONTINUOUS)[name]), random.Random(0)
    assert all(one.contains(one.draw(generator)) for _ in range(200))


def test_uniform_draws_give_choices_in_equal_shares() -> None:
    one, generator = parameter(DISCRETE["powers"]), random.Random(0)
    counts = Counter(one.draw(generator) for _ in range(5000))
    # 5 values, 1000 each; a binomial's standard deviation is 28, five of them are 140.
    assert all(abs(count - 1000) < 140 for count in counts.values())


@pytest.mark.parametrize(("low", "high"), [(1, 3), (2, 5)])
def test_a_logarithmic_whole_number_is_drawn_alike_wherever_it_is_drawn(low: int, high: int) -> None:
    one, n, generator = parameter({"type": "int", "low": low, "high": high, "log": True}), 4000, random.Random(0)
    widths = {value: math.log((value + 0.5) / (value - 0.5)) for value in range(low, high + 1)}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {
        "draw": Counter(one.draw(generator) for _ in range(n)),
        "a whole configuration": Counter(draw_params({"x": one}, generator)["x"] for _ in range(n)),
        "Optuna": Counter(suggest(study.ask(), "x", distribution_of(one)) for _ in range(n)),
    }
    for where, counts in drawn.items():
        for value, width in widths.items():
            # 0.04: five standard deviations of a share of one half in 4000 draws.
            assert math.isclose(counts[value] / n, width / sum(widths.values()), abs_tol=0.04), (where, value)


@pytest.mark.parametrize(("low", "high", "step"), FINE_STEPS)
def test_what_is_proposed_belongs_to_the_space_it_came_from(low: float, high: float, step: float) -> None:
    one = parameter({"type": "float", "low": low, "high": high, "step": step})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    generator = random.Random(0)
    proposed = [one.from_searched(suggest(study.ask(), "x", distribution_of(one))) for _ in range(200)]
    for value in [*proposed, *(one.draw(generator) for _ in range(200))]:
        assert one.own(value) == value
        assert one.contains(float(f"{value:.15g}"))  # as a client may print it
        assert low <= float(value) <= high


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9), st.integers(1, 10**9))
def test_every_step_of_any_range_belongs_to_it(low: float, width: float, n_steps: int) -> None:
    body = {"type": "float", "low": low, "high": low + width, "step": width / n_steps}
    try:
        one = parameter(body)
    except ValidationError as error:
        assert "makes no difference" in str(error)  # noqa: PT017 - most ranges pass
        return
    for index in {0, 1, n_steps // 3, n_steps - 1, one.index_of(low + width)}:
        assert one.contains(one.value_number(index))
    assert one.contains(one.value_at(0.999))


def test_what_lies_between_two_steps_does_not_belong_to_the_space() -> None:
    one = parameter({"type": "float", "low": 0, "high": 10_000, "step": 1e-5})
    assert one.contains(1234.56789)
    assert not one.contains(1234.567895)
    assert not one.contains(10_000.00001)
    assert not one.contains(-1e-5)


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.0, 1.0, 5e-324), (0.0, 1e300, 1e-10), (-1e8, 1e8, 1e-7), (1e15, 1e15 + 8, 1.0)]
)
def test_a_step_that_tells_no_values_apart_is_refused(low: float, high: float, step: float) -> None:
    with pytest.raises(ValidationError, match=r"makes no difference; use a larger one"):
        parameter({"type": "float", "low": low, "high": high, "step": step})


def test_a_range_test_and_a_step_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="drop step"):
        parameter({"type": "float", "range_test": True, "step": 0.1})


@pytest.mark.parametrize("bounds", [{"low": 0, "high": 10**18}, {"low": -(2**60), "high": 0}])
def test_a_whole_number_beyond_what_json_readers_keep_apart_is_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="9007199254740992"):
        parameter({"type": "int", **bounds})


@pytest.mark.parametrize("value", [32.0, 1.6e1, 256.0])
def test_a_whole_number_written_as_a_float_is_taken_and_becomes_whole(value: float) -> None:
    own = parameter({"type": "int", "low": 16, "high": 256, "powers_of_two": True}).own(value)
    assert own == value
    assert type(own) is int


@pytest.mark.parametrize("value", [32.5, True, "32", 512.0, 48, float("inf"), float("nan")])
def test_what_is_no_value_of_a_whole_parameter_is_not_taken(value: Any) -> None:
    assert not parameter({"type": "int", "low": 16, "high": 256, "powers_of_two": True}).contains(value)


def test_a_whole_number_becomes_a_float_where_one_is_searched() -> None:
    own = parameter({"type": "float", "low": 0, "high": 4}).own(3)
    assert (own, type(own)) == (3.0, float)
    assert not parameter({"type": "float", "low": 0, "high": 4}).contains(True)


CHOICES: list[Any] = [1, True, 0, False, 1.0, "1"]


@pytest.mark.parametrize("value", CHOICES)
def test_choices_and_conditions_tell_types_apart(value: Any) -> None:
    parent = parameter({"type": "categorical", "choices": CHOICES})
    child = parameter({"type": "float", "low": 0, "high": 1, "when": {"x": [value]}})
    assert [applies(child, {"x": other}) for other in CHOICES] == [other is value for other in CHOICES]
    others = parameter({"type": "categorical", "choices": [other for other in CHOICES if other != value]})
    assert not others.contains(value)
    assert type(parent.own(value)) is type(value)


@pytest.mark.parametrize(("written", "choice"), [(1, 1.0), (2.0, 2), (0.5, 0.5)])
def test_a_number_among_choices_is_known_however_it_is_written(written: float, choice: float) -> None:
    own = parameter({"type": "categorical", "choices": [0.5, 1.0, 2, True]}).own(written)
    assert (own, type(own)) == (choice, type(choice)), "JavaScript writes 1.0 as 1"


def test_a_configuration_takes_on_the_types_of_its_space() -> None:
    of = space(
        size={"type": "int", "low": 1, "high": 64},
        rate={"type": "float", "low": 0, "high": 1, "step": 0.1},
        word={"type": "categorical", "choices": ["a", 2]},
    )
    own = own_params(of, {"size": 32.0, "rate": 0.1 + 0.2, "word": 2, "other": True, "bad": 99})
    assert own == {"size": 32, "rate": 0.3, "word": 2, "other": True, "bad": 99}
    assert type(own["size"]) is int


@pytest.mark.parametrize(
    ("body", "value", "nearest"),
    [
        ({"type": "int", "low": 16, "high": 256, "powers_of_two": True}, 100, 128),
        ({"type": "int", "low": 16, "high": 256, "powers_of_two": True}, 1000, 256),
        ({"type": "int", "low": 1, "high": 8, "step": 3}, 5.9, 7),
        ({"type": "int", "low": 1, "high": 8}, None, 1),
        ({"type": "float", "low": 0.0, "high": 1.0, "step": 0.3}, 0.5, 0.6),
        ({"type": "float", "low": 0.0, "high": 1.0, "step": 0.3}, 7, 0.9),
        ({"type": "float", "low": 0.5, "high": 1.0}, 0.1, 0.5),
        ({"type": "float", "low": 0.5, "high": 1.0}, "word", 0.5),
        ({"type": "categorical", "choices": ["a", "b"]}, "c", "a"),
        ({"type": "categorical", "choices": ["a", "b"]}, "b", "b"),
    ],
)
def test_the_nearest_value_is_found(body: dict[str, object], value: Any, nearest: Any) -> None:
    assert parameter(body).nearest(value) == nearest


@pytest.mark.parametrize(("low", "high", "step"), [(0.0, 1.0, 0.3), (1e-5, 1.0, 1e-3), (0.0, 1e-11, 1e-12), (0, 1, 3)])
def test_a_step_that_does_not_divide_the_range_ends_at_the_last_it_reaches(
    low: float, high: float, step: float
) -> None:
    one = FloatParameter(type="float", low=low, high=high, step=step)
    assert distribution_of(one).high == one.values()[-1] == one.last  # type: ignore[attr-defined]
    whole = IntParameter(type="int", low=1, high=9, step=3)
    assert distribution_of(whole).high == whole.values()[-1] == whole.last == 7  # type: ignore[attr-defined]


def test_a_step_is_seen_as_people_write_it() -> None:
    one = parameter({"type": "float", "low": 0.0, "high": 1.0, "step": 0.3})
    assert one.from_searched(3 * 0.3) == 0.9 != 3 * 0.3


def test_a_single_value_is_kept_to_its_last_digit() -> None:
    one = parameter({"type": "float", "low": 1e-14, "high": 1e-14, "log": True})
    assert one.values() == [1e-14] == [one.value_at(0.0)]


def test_choices_that_only_their_types_tell_apart_stay_apart_in_a_study() -> None:
    one = parameter({"type": "categorical", "choices": CHOICES})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for choice in CHOICES * 3:
        study.enqueue_trial({"x": one.as_searched(choice)})
        drawn.append(one.from_searched(suggest(study.ask(), "x", distribution_of(one))))
    assert list(map(repr, drawn)) == list(map(repr, CHOICES * 3))
    assert [repr(one.from_searched(trial.params["x"])) for trial in study.trials] == list(map(repr, CHOICES * 3))
