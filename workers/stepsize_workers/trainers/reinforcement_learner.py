"""An agent that learns by trying: proximal policy optimisation. Shapes: T steps, N environments, B batch, A actions.

Every epoch plays N × T steps from fresh episodes, then learns from them for a few passes. Fresh ones, so that nothing
of the environments has to be kept for an exact resume; T is at least as long as an episode, so that none is never seen.

Source: Schulman et al. 2017, "Proximal policy optimization algorithms" (arXiv:1707.06347).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stepsize.domain.trainer import Capabilities, Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.training.environments import ENVIRONMENTS, LONGEST, Environments
from stepsize_workers.training.figures import curves
from stepsize_workers.training.model_params import ActivationName, ModelParams, model_field
from stepsize_workers.training.models import Use, describe_model
from stepsize_workers.training.models.actor_critic import ActorCritic
from stepsize_workers.training.params import Footprint, OptimizerName, optimizer_field
from stepsize_workers.training.policies import always, at_random, exploring, greedy, log_chance_of, mean_entropy
from stepsize_workers.training.rollouts import Act, advantages, play, play_episodes
from stepsize_workers.training.seeding import generator
from stepsize_workers.training.task import Metrics
from stepsize_workers.training.trainer import TaskTrainer

_EVALUATION_SEED, _TEST_SEED = 1, 2
"""All trials are judged by the same episodes."""
_N_EVALUATION = 16
_LEAST_SPREAD = 0.1
"""Of returns, as a share of the horizon 1 / (1 − γ); where all are alike, no error would be small."""
_LUCK = 2.0
"""Standard errors that a mean return may come out too high by chance."""
_SMOOTHING = 20
"""Episodes that are averaged in a picture."""


class ReinforcementLearnerParams(ModelParams):
    """Environment, agent and training."""

    environment: Literal["CartPole-v1", "Acrobot-v1"] = "CartPole-v1"
    """CartPole-v1: balance a pole, at best 500; Acrobot-v1: swing two links up, at worst −500."""
    model: Literal["actor_critic"] = model_field(Use.ACTIONS, "actor_critic")
    width: int = Field(default=64, ge=1, le=4096)
    """Units of a hidden layer."""
    depth: int = Field(default=2, ge=0, le=16)
    """Hidden layers."""
    activation: ActivationName = "tanh"
    """Nonlinearity; the initialisation follows it."""
    optimizer: OptimizerName = optimizer_field("adam")
    learning_rate: Annotated[float, Footprint.NONE] = Field(default=3e-3, gt=0, le=1e4)
    """The highest rate the schedule reaches."""
    batch_size: Annotated[int, Footprint.NONE] = Field(default=256, ge=1, le=2**20)
    """Steps whose gradient is computed at once; see `grad_accumulation`."""
    clip_norm: Annotated[float, Footprint.NONE] = Field(default=0.5, ge=0, le=1e6)
    """Scale gradients down to this total norm; 0: never."""
    epochs: Annotated[int, Footprint.NONE] = Field(default=12, ge=1, le=100_000)
    """Rounds of playing, then learning."""
    environments: Annotated[int, Footprint.NONE] = Field(default=8, ge=1, le=1024)
    """Copies played at once."""
    steps: Annotated[int, Footprint.NONE] = Field(default=LONGEST, ge=LONGEST, le=100_000)
    """Steps of a round in each copy; at least as many as the longest episode has."""
    passes: Annotated[int, Footprint.NONE] = Field(default=4, ge=1, le=100)
    """How often the steps of a round are learned from."""
    discount: Annotated[float, Footprint.NONE] = Field(default=0.99, ge=0, lt=1)
    """What a reward is worth one step earlier."""
    trace: Annotated[float, Footprint.NONE] = Field(default=0.95, ge=0, le=1)
    """How far rewards count themselves, not values. 0: one step; 1: to the episode's end."""
    clip_range: Annotated[float, Footprint.NONE] = Field(default=0.2, gt=0, lt=1)
    """How far an action's probability may move in a round, as a share, before it gains nothing more."""
    entropy_weight: Annotated[float, Footprint.NONE] = Field(default=0.01, ge=0, le=10)
    """What being undecided is worth: more explores more."""
    value_weight: Annotated[float, Footprint.NONE] = Field(default=0.5, ge=0, le=100)
    """What the values' error counts beside the actions' gain."""


@dataclass(frozen=True)
class _Lessons:
    """What a round teaches, one row a step that was played: (M, F), else (M,)."""

    observations: Tensor
    actions: Tensor
    log_chances: Tensor
    """Of the actions, as they were when taken."""
    advantages: Tensor
    """Standardised."""
    targets: Tensor
    """Of the values, as shares of the horizon."""


class ReinforcementLearner(TaskTrainer[ReinforcementLearnerParams, Tensor]):
    """A batch is a tensor of indices (B,) into the steps of the round."""

    name = "reinforcement_learner"
    version = "1"
    help = "PPO on Gymnasium's CartPole-v1 or Acrobot-v1, judged by mean return: half a minute a trial on a CPU."
    Params = ReinforcementLearnerParams
    metrics = (
        Metric(name="mean_return", direction=Direction.MAXIMIZE, range=(-LONGEST, LONGEST)),
        Metric(name="train_return", direction=Direction.MAXIMIZE, range=(-LONGEST, LONGEST)),
        Metric(name="entropy", unit="nat", range=(0.0, math.log(3))),
        Metric(name="train_loss"),  # of data that change with the agent: less is not better
        Metric(name="learning_rate", range=(0.0, None)),
        Metric(name="train_time_s", unit="s", range=(0.0, None)),
    )
    default_objectives = (Objective(metric="mean_return", direction=Direction.MAXIMIZE),)
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-5, high=0.1, log=True),
        "batch_size": IntParameter(type="int", low=64, high=1024, powers_of_two=True),
    }
    # No range test: the loss of a better agent is not lower, it is the loss of other episodes.
    capabilities = Capabilities(resume=True)
    constant_answer_called = "acting at random, or always alike"

    params: ReinforcementLearnerParams
    lessons: _Lessons
    value_scale: Tensor
    """What a squared error of the values is divided by: about 1 is as wrong as knowing nothing."""

    def prepare(self, params: ReinforcementLearnerParams, *, device: torch.device, data_dir: Path) -> None:
        """Make the environments."""
        self.params, self.device, self.data_dir = params, device, data_dir
        self.environments = Environments(params.environment, params.environments)
        self.judges = Environments(params.environment, _N_EVALUATION)
        self.returns = torch.zeros(0, dtype=torch.float64)  # of all episodes so far
        self.entropy = torch.zeros(())
        row = ENVIRONMENTS[params.environment]
        self.sizes = params.sizes((row.n_features,), n_out=row.n_actions)

    def build(self, params: ReinforcementLearnerParams, rng: torch.Generator) -> nn.Module:
        """Return the agent."""
        model = params.build(self.sizes, rng)
        params.start(model, self.data_dir)
        return model

    def collect(self, model: nn.Module, epoch: int, rng: torch.Generator) -> None:
        """Play a round, exploring, and work out what it teaches."""
        assert isinstance(model, ActorCritic)
        params = self.params
        seed = int(torch.randint(2**31, (), generator=rng))
        act = exploring(model, rng, device=self.device)
        rollout = play(self.environments, act, seed=seed, n_steps=params.steps).to(self.device)
        horizon = 1 / (1 - params.discount)
        values = horizon * model.values(rollout.observations.flatten(0, 1)).view(rollout.observations.shape[:2])
        gains = advantages(rollout, values, discount=params.discount, trace=params.trace)
        is_played = rollout.is_played
        targets = ((gains + values[:-1]) / horizon)[is_played]
        gains = gains[is_played]
        observations, actions = rollout.observations[:-1][is_played], rollout.actions[is_played]
        log_chances = model.logits(observations).log_softmax(1)
        self.lessons = _Lessons(
            observations,
            actions,
            log_chance_of(log_chances, actions),
            (gains - gains.mean()) / (gains.std() + 1e-8),
            targets,
        )
        self.value_scale = targets.var().clamp(min=_LEAST_SPREAD**2)
        self.entropy = mean_entropy(log_chances)
        self.n_ended = len(rollout.episode_returns())
        self.returns = torch.cat([self.returns, rollout.episode_returns().cpu()])

    def state(self) -> Mapping[str, Tensor]:
        """Return the returns so far."""
        return {"returns": self.returns}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take them back."""
        self.returns = state["returns"]

    def batches(self, epoch: int, rng: torch.Generator) -> Sequence[Tensor]:
        """Return the round's steps, shuffled for each pass; all rounds make the same number of updates."""
        params = self.params
        n_batches = math.ceil(params.environments * params.steps / params.batch_size)
        n = len(self.lessons.actions)
        orders = [torch.randperm(n, generator=rng).to(self.device) for _ in range(params.passes)]
        return [batch for order in orders for batch in torch.tensor_split(order, n_batches)]

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the clipped loss of the actions, plus that of the values, less what being undecided is worth."""
        assert isinstance(model, ActorCritic)
        params, lessons = self.params, self.lessons
        logits, values = model(lessons.observations[batch])
        log_chances = logits.log_softmax(1)
        ratio = (log_chance_of(log_chances, lessons.actions[batch]) - lessons.log_chances[batch]).exp()
        gains = lessons.advantages[batch]
        gain = torch.min(ratio * gains, ratio.clamp(1 - params.clip_range, 1 + params.clip_range) * gains).mean()
        error = (values - lessons.targets[batch]).square().mean() / self.value_scale
        result: Tensor = params.value_weight * error - gain - params.entropy_weight * mean_entropy(log_chances)
        return result

    def evaluate(self, model: nn.Module) -> Metrics:
        """Return the mean return of episodes in which the agent does what it likes best."""
        return {
            "mean_return": self._mean_return(model, _EVALUATION_SEED),
            "train_return": self.returns[-self.n_ended :].mean(),
            "entropy": self.entropy,
        }

    def test(self, model: nn.Module) -> Metrics:
        """Return the same of other episodes, by which no epoch was chosen."""
        return {"test_mean_return": self._mean_return(model, _TEST_SEED)}

    def constant_answer(self) -> Metrics:
        """Return the best return of agents that don't look: of each action alone, or at random with some luck."""
        n_actions = ENVIRONMENTS[self.params.environment].n_actions
        best = max(fmean(self._returns(always(action))) for action in range(n_actions))
        by_chance = self._returns(at_random(n_actions, generator(0, "at random")))
        with_luck = fmean(by_chance) + _LUCK * stdev(by_chance) / math.sqrt(_N_EVALUATION)
        return dict.fromkeys(("mean_return", "train_return"), max(best, with_luck))

    def describe(self, model: nn.Module) -> Mapping[str, object]:
        """Return what is needed to build the agent again."""
        return describe_model(self.params.model, self.sizes, model)

    def figures(self, model: nn.Module) -> Mapping[str, str | bytes]:
        """Return the returns of all episodes while learning, and what the critic foresees in one."""
        assert isinstance(model, ActorCritic)
        n = len(self.returns)
        number = torch.arange(1, n + 1)
        sums = torch.cat([torch.zeros(1, dtype=torch.float64), self.returns.cumsum(0)])
        first = (number - _SMOOTHING).clamp(min=0)
        smooth = (sums[number] - sums[first]) / (number - first)
        episode = play_episodes(self.judges, greedy(model, device=self.device), seed=_TEST_SEED)[0]
        horizon = 1 / (1 - self.params.discount)
        foreseen = horizon * model.values(episode.observations[:-1, 0].to(self.device)).cpu()
        later = torch.zeros(len(foreseen) + 1, 1)  # an episode that was cut off had more to come
        later[-1] = horizon * model.values(episode.observations[-1].to(self.device)).cpu()
        got = advantages(episode, later, discount=self.params.discount, trace=1.0)[:, 0]
        steps = torch.arange(len(foreseen))
        return {
            "returns_by_episode": curves(
                [(f"mean of {_SMOOTHING}", number, smooth)],
                x_label="episode while learning",
                y_label="return",
                points=(number, self.returns),
            ),
            "value_curve": curves(
                [("foreseen", steps, foreseen), ("came", steps, got)],
                x_label="step of an episode",
                y_label="discounted rewards to come",
            ),
        }

    def _mean_return(self, model: nn.Module, seed: int) -> float:
        assert isinstance(model, ActorCritic)
        return fmean(self._returns(greedy(model, device=self.device), seed))

    def _returns(self, act: Act, seed: int = _EVALUATION_SEED) -> list[float]:
        return [float(episode.rewards.sum()) for episode in play_episodes(self.judges, act, seed=seed)]
