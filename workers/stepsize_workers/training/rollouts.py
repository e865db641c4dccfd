"""What an agent does and gets, many environments at once. Shapes: T steps, N environments, F features, A actions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stepsize_workers.training.environments import LONGEST, Environments, Moment

Act = Callable[[Tensor], Tensor]
"""Observations (N, F) → actions (N,)."""


@dataclass(frozen=True)
class Rollout:
    """T steps in N environments, played one after another without a break."""

    observations: Tensor
    """float32 (T + 1, N, F): before each step, and after the last."""
    actions: Tensor
    """int64 (T, N)"""
    rewards: Tensor
    """float32 (T, N)"""
    is_terminal: Tensor
    """bool (T, N)"""
    is_over: Tensor
    """bool (T, N)"""

    @property
    def is_played(self) -> Tensor:
        """bool (T, N): False for steps that only reset their environment."""
        return torch.cat([torch.ones_like(self.is_over[:1]), ~self.is_over[:-1]])

    def to(self, device: torch.device) -> "Rollout":
        """Return it on a device."""
        return Rollout(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def episode_returns(self) -> Tensor:
        """Return the sums of rewards of the episodes that ended, in the order in which they did: (episodes,)."""
        totals = self.rewards.double().cumsum(0)
        ended: list[tuple[int, float]] = []
        for environment in range(totals.shape[1]):
            before = 0.0
            for step in self.is_over[:, environment].nonzero().flatten().tolist():
                total = float(totals[step, environment])
                ended.append((step, total - before))
                before = total
        return torch.tensor([value for _, value in sorted(ended, key=lambda each: each[0])], dtype=torch.float64)


def play(environments: Environments, act: Act, *, seed: int, n_steps: int, is_once: bool = False) -> Rollout:
    """Begin new episodes, drawn from the seed, and play.

    Args:
        is_once: whether to end as soon as every environment has had a whole episode.
    """
    observations = [environments.reset(seed)]
    actions: list[NDArray[np.int64]] = []
    moments: list[Moment] = []
    have_ended = np.zeros(len(observations[0]), dtype=np.bool_)
    while len(moments) < n_steps and not (is_once and have_ended.all()):
        actions.append(act(torch.from_numpy(observations[-1])).cpu().numpy())
        moments.append(environments.step(actions[-1]))
        have_ended |= moments[-1].is_over
        observations.append(moments[-1].observations)
    return Rollout(
        torch.from_numpy(np.stack(observations)),
        torch.from_numpy(np.stack(actions)),
        torch.from_numpy(np.stack([moment.rewards for moment in moments])),
        torch.from_numpy(np.stack([moment.is_terminal for moment in moments])),
        torch.from_numpy(np.stack([moment.is_over for moment in moments])),
    )


def play_episodes(environments: Environments, act: Act, *, seed: int) -> list[Rollout]:
    """Play one episode in each environment, drawn from the seed, and return them: each with N = 1."""
    rollout = play(environments, act, seed=seed, n_steps=LONGEST, is_once=True)
    episodes = []
    for environment in range(rollout.is_over.shape[1]):
        n_steps = int(rollout.is_over[:, environment].int().argmax()) + 1
        one = slice(environment, environment + 1)
        episodes.append(
            Rollout(
                rollout.observations[: n_steps + 1, one],
                rollout.actions[:n_steps, one],
                rollout.rewards[:n_steps, one],
                rollout.is_terminal[:n_steps, one],
                rollout.is_over[:n_steps, one],
            )
        )
    return episodes


def advantages(rollout: Rollout, values: Tensor, *, discount: float, trace: float) -> Tensor:
    """Return how much better each step turned out than its value, (T, N): generalised advantage estimation.

    An episode that was cut off is taken to have gone on as its last observation's value says.

    Args:
        values: (T + 1, N), of the observations, in units of discounted reward.
        discount: what a reward is worth one step earlier (γ).
        trace: how far rewards count themselves rather than values: 0 one step, 1 to the end (λ).

    Source: Schulman et al. 2015 (arXiv:1506.02438), eq. 16.
    """
    follows = (~rollout.is_terminal).to(values.dtype)
    goes_on = (~rollout.is_over).to(values.dtype)
    surprises = rollout.rewards + discount * follows * values[1:] - values[:-1]
    result = torch.zeros_like(surprises)
    later = torch.zeros_like(surprises[0])
    for step in range(len(surprises) - 1, -1, -1):
        later = surprises[step] + discount * trace * goes_on[step] * later
        result[step] = later
    return result
