"""Playing: what is an episode's, and what its steps were worth."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stepsize_workers.training.environments import ENVIRONMENTS, LONGEST, Environments
from stepsize_workers.training.rollouts import Rollout, advantages, play, play_episodes


def make_rollout(rewards: list[float], *, terminal: list[int] = [], cut_off: list[int] = []) -> Rollout:  # noqa: B006
    """Return a rollout of one environment without anything to see."""
    n = len(rewards)
    is_terminal = torch.tensor([[step in terminal] for step in range(n)])
    is_over = is_terminal | torch.tensor([[step in cut_off] for step in range(n)])
    observations, actions = torch.zeros(n + 1, 1, 1), torch.zeros(n, 1, dtype=torch.int64)
    return Rollout(observations, actions, torch.tensor(rewards).unsqueeze(1), is_terminal, is_over)


def test_whole_episodes_alone_have_returns() -> None:
    # The step after an end resets.
    rollout = make_rollout([1, 2, 0, 4, 5, 0, 7], terminal=[1], cut_off=[4])
    assert rollout.episode_returns().tolist() == [3, 9]
    assert rollout.is_played.flatten().tolist() == [True, True, False, True, True, False, True]


def test_to_the_end_an_advantage_is_what_came_less_what_was_foreseen() -> None:
    values = torch.tensor([[5.0], [6.0], [7.0], [100.0]])
    gains = advantages(make_rollout([1, 2, 3], terminal=[2]), values, discount=0.5, trace=1.0)
    came = [1 + 0.5 * 2 + 0.25 * 3, 2 + 0.5 * 3, 3]
    assert gains.flatten().tolist() == pytest.approx([came[0] - 5, came[1] - 6, came[2] - 7])


def test_an_episode_cut_off_went_on_as_foreseen_and_the_next_knows_nothing_of_it() -> None:
    values = torch.tensor([[0.0], [0.0], [10.0], [50.0], [0.0]])
    gains = advantages(make_rollout([1, 2, 0, 4], cut_off=[1]), values, discount=0.5, trace=1.0)
    assert gains.flatten()[:2].tolist() == pytest.approx([1 + 0.5 * (2 + 0.5 * 10), 2 + 0.5 * 10])
    assert gains[3].item() == pytest.approx(4 - 50)


def test_with_a_trace_of_zero_one_step_counts() -> None:
    values = torch.tensor([[5.0], [6.0], [7.0]])
    gains = advantages(make_rollout([1, 2]), values, discount=0.5, trace=0.0)
    assert gains.flatten().tolist() == pytest.approx([1 + 3 - 5, 2 + 3.5 - 6])


def push_left(observations: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(observations), dtype=torch.int64)


@pytest.mark.parametrize("name", list(ENVIRONMENTS))
def test_environments_are_as_their_rows_say(name: str) -> None:
    row = ENVIRONMENTS[name]
    episodes = play_episodes(Environments(name, 2), push_left, seed=3)
    for episode in episodes:
        assert episode.observations.shape == (len(episode.rewards) + 1, 1, row.n_features)
        assert row.worst <= episode.rewards.sum() <= row.best
        assert bool(episode.is_over[-1])
        assert int(episode.is_over.sum()) == 1
    wrong: NDArray[np.int64] = np.full(2, row.n_actions)
    environments = Environments(name, 2)
    environments.reset(0)
    with pytest.raises((AssertionError, IndexError)):  # one action fewer than there would be
        environments.step(wrong)


def test_the_same_seed_gives_the_same_episodes() -> None:
    environments = Environments("CartPole-v1", 3)
    one, same = (play(environments, push_left, seed=5, n_steps=LONGEST) for _ in range(2))
    assert torch.equal(one.observations, same.observations)
    assert not torch.equal(one.observations, play(environments, push_left, seed=6, n_steps=LONGEST).observations)
    # Pushed one way, a pole falls within ten steps or so: 1 for each.
    assert 7 < one.episode_returns().mean() < 11
