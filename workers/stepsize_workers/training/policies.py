"""What to do, from what a model thinks of each action. Shapes: B batch, A actions, N environments, F features."""

import torch
from torch import Tensor

from stepsize_workers.training.models.actor_critic import ActorCritic
from stepsize_workers.training.rollouts import Act


def log_chance_of(log_chances: Tensor, actions: Tensor) -> Tensor:
    """Return the entries (B,) of (B, A) that belong to the actions (B,)."""
    return log_chances.gather(1, actions.unsqueeze(1)).squeeze(1)


def mean_entropy(log_chances: Tensor) -> Tensor:
    """Return the mean entropy of (B, A), in nats."""
    return -(log_chances.exp() * log_chances).sum(1).mean()


def exploring(model: ActorCritic, rng: torch.Generator, *, device: torch.device) -> Act:
    """Return an agent that takes each action with the probability it gives it, its draws from a CPU generator."""

    def act(observations: Tensor) -> Tensor:
        chances = model.logits(observations.to(device)).cpu().softmax(1)
        return torch.multinomial(chances, 1, generator=rng).squeeze(1)

    return act


def greedy(model: ActorCritic, *, device: torch.device) -> Act:
    """Return an agent that takes the action it likes best."""
    return lambda observations: model.logits(observations.to(device)).argmax(1)


def always(action: int) -> Act:
    """Return an agent that does nothing else."""
    return lambda observations: torch.full((len(observations),), action)


def at_random(n_actions: int, rng: torch.Generator) -> Act:
    """Return an agent that takes each of so many actions equally often, its draws from a CPU generator."""
    return lambda observations: torch.randint(n_actions, (len(observations),), generator=rng)
