"""Environments of Gymnasium, several played at once. Shapes: N environments, F features of an observation.

All have episodes of at most `LONGEST` steps. An environment whose episode ended spends one step on being reset: that
step's action counts for nothing.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST = 500
"""Steps of an episode."""
REQUIREMENT = "gymnasium==1.4.0"


@dataclass(frozen=True)
class EnvironmentRow:
    """One environment of the registry."""

    help: str
    n_features: int
    n_actions: int
    worst: float
    """The lowest return an episode can have."""
    best: float


ENVIRONMENTS = {
    "CartPole-v1": EnvironmentRow("balance a pole on a cart: 1 for each of 500 steps that it stands", 4, 2, 0, LONGEST),
    "Acrobot-v1": EnvironmentRow("swing two joined links up: −1 for each step until then", 6, 3, -LONGEST, 0),
}


class MissingGymnasiumError(ImportError):
    """Gymnasium is not installed; the message names the command that brings it."""


@dataclass(frozen=True)
class Moment:
    """What N environments answered to N actions."""

    observations: NDArray[np.float32]
    """(N, F); of an episode that ended, its last."""
    rewards: NDArray[np.float32]
    """(N,)"""
    is_terminal: NDArray[np.bool_]
    """(N,): nothing more can follow."""
    is_over: NDArray[np.bool_]
    """(N,): terminal, or cut off at `LONGEST`."""


class Environments:
    """N copies of an environment."""

    def __init__(self, name: str, n: int) -> None:
        """Make them.

        Raises:
            MissingGymnasiumError: Gymnasium is not installed.
        """
        try:
            gymnasium = import_module("gymnasium")
        except ModuleNotFoundError as error:
            raise MissingGymnasiumError(f"{name} needs Gymnasium; run: pip install {REQUIREMENT}") from error
        self._envs: Any = gymnasium.make_vec(name, num_envs=n)

    def reset(self, seed: int) -> NDArray[np.float32]:
        """Begin new episodes, drawn from the seed, and return their observations (N, F)."""
        observations, _ = self._envs.reset(seed=seed)
        return np.array(observations, dtype=np.float32)

    def step(self, actions: NDArray[np.int64]) -> Moment:
        """Take the actions (N,)."""
        observations, rewards, terminated, truncated, _ = self._envs.step(actions)
        return Moment(
            np.array(observations, dtype=np.float32),
            np.asarray(rewards, dtype=np.float32),
            np.asarray(terminated, dtype=np.bool_),
            np.logical_or(terminated, truncated),
        )
