"""What is drawn beside the first of a group while nothing is known: spread, and no other after a rebuild."""

import math
from collections.abc import Sequence
from dataclasses import fields
from statistics import mean

import pytest

from stepsize.domain.trial import Trial, TrialPurpose, TrialState
from stepsize.spec.space import Scalar
from stepsize_workers.search import Search
from tests.builders import make_spec

SPACE = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 10.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
}
SHARED = ("batch_size", "optimizer")
N_MEMBERS = 8
Params = dict[str, Scalar]


def make_search(sampler: str, seed: int) -> Search:
    return Search("job", make_spec(sampler={"name": sampler, "seed": seed}, search_space=SPACE))


def draw_group(search: Search, numbers: Sequence[int], like: Params | None = None) -> list[Params]:
    """Draw a group's members one after another, as they would start."""
    members = []
    for number in numbers:
        proposal = search.propose(number, like=like)
        assert proposal is not None
        search.open(number, proposal)
        like = {name: proposal.params[name] for name in SHARED}
        members.append(proposal.params)
    assert len({tuple(params[name] for name in SHARED) for params in members}) == 1
    return members


def widest_gap(members: Sequence[Params]) -> float:
    """Return the widest gap between neighbouring rates, the ends of the range among them, as a share of the range."""
    places = sorted((math.log10(float(params["learning_rate"])) + 5) / 6 for params in members)
    return max(high - low for low, high in zip([0.0, *places], [*places, 1.0], strict=True))


def test_the_first_group_leaves_no_wide_gap() -> None:
    spread, drawn = (
        [widest_gap(draw_group(make_search(sampler, seed), range(N_MEMBERS))) for seed in range(20)]
        for sampler in ("tpe", "random")
    )
    assert max(spread) < 0.32
    assert mean(spread) < 0.75 * mean(drawn), "random stays random"


@pytest.mark.parametrize("n_known", [1, 4])
def test_a_search_that_is_rebuilt_in_a_group_draws_what_it_would_have_drawn(n_known: int) -> None:
    whole = draw_group(make_search("tpe", 5), range(N_MEMBERS))
    rebuilt = make_search("tpe", 5)
    running = [_running(number, params) for number, params in enumerate(whole[:n_known])]
    rebuilt.restore(running, [])
    like = {name: whole[0][name] for name in SHARED}
    assert draw_group(rebuilt, range(n_known, N_MEMBERS), like) == whole[n_known:]


def test_what_came_to_nothing_leaves_no_trace() -> None:
    whole, other = make_search("tpe", 5), make_search("tpe", 5)
    like = {name: params for name, params in draw_group(whole, [0])[0].items() if name in SHARED}
    draw_group(other, [0])
    for number in (1, 2):
        dropped = other.propose(number, like=like)
        assert dropped is not None
        other.discard(dropped)
    assert draw_group(other, range(1, 5), like) == draw_group(whole, range(1, 5), like)


def test_once_enough_trials_have_ended_followers_come_from_the_model() -> None:
    first, later = [], []
    for seed in range(5):
        search = make_search("tpe", seed)
        first.append(widest_gap(draw_group(make_search("tpe", seed), range(N_MEMBERS))))
        for number in range(40):
            proposal = search.propose(number)
            assert proposal is not None
            search.open(number, proposal)
            away = math.log10(float(proposal.params["learning_rate"])) + 2
            search.close(number, TrialState.COMPLETED, [away**2])
        later.append(widest_gap(draw_group(search, range(40, 40 + N_MEMBERS))))
    assert mean(later) > 1.3 * mean(first), "they gather where good trials lie"


def _running(number: int, params: Params) -> Trial:
    """Return a trial under way, of which only these fields matter."""
    known = {"number": number, "params": params, "state": TrialState.RUNNING, "purpose": TrialPurpose.SEARCH}
    return Trial(**{field.name: None for field in fields(Trial)} | known | {"study_attrs": {}, "attempt": 1})  # type: ignore[arg-type]
