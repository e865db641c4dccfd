"""A net that learns a game by playing against itself. Shapes: G games, B batch, P positions, A moves.

Every epoch plays G games, both sides by the same net and search, keeps what the last few epochs taught, and learns from
that: the policy what the search made of it, the value what the search thought of a position and how the game ended.

Source: Silver et al. 2017, "Mastering chess and shogi by self-play" (arXiv:1712.01815).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from stepsize.domain.trainer import Capabilities, Metric
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import FloatParameter, IntParameter, SearchSpace
from stepsize_workers.training.connect_four import ConnectFour, Positions
from stepsize_workers.training.figures import board, curves
from stepsize_workers.training.matches import (
    Lessons,
    at_random,
    joined,
    judge_by,
    mask_illegal,
    openings,
    play_against_itself,
    play_both_sides,
    searching,
    without_search,
)
from stepsize_workers.training.model_params import ModelParams, model_field
from stepsize_workers.training.models import Use, build_model, describe_model
from stepsize_workers.training.params import Footprint, OptimizerName, optimizer_field
from stepsize_workers.training.seeding import generator
from stepsize_workers.training.task import LOOP_METRICS, Metrics
from stepsize_workers.training.trainer import TaskTrainer
from stepsize_workers.training.tree_search import TreeSearch

_N_RANDOM = 100
"""Games against a random player, on each side."""
_POSITIONS_OF_A_GAME = 32
_OPENING = 2
"""Moves that are played in all ways before a net meets the untrained one: 36 games on each side of 6 × 5."""


class BoardGameParams(ModelParams):
    """Net, search and training."""

    model: Literal["policy_value_net"] = model_field(Use.MOVES, "policy_value_net")
    columns: int = Field(default=6, ge=4, le=7)
    """Width of the board."""
    rows: int = Field(default=5, ge=4, le=6)
    """Height of the board; the usual one is 7 × 6."""
    width: int = Field(default=24, ge=1, le=1024)
    """Channels."""
    depth: int = Field(default=1, ge=0, le=64)
    """Residual blocks."""
    optimizer: OptimizerName = optimizer_field("adam")
    learning_rate: Annotated[float, Footprint.NONE] = Field(default=5e-3, gt=0, le=1e4)
    """The highest rate the schedule reaches."""
    batch_size: Annotated[int, Footprint.NONE] = Field(default=64, ge=1, le=2**20)
    """Positions whose gradient is computed at once; see `grad_accumulation`."""
    epochs: Annotated[int, Footprint.NONE] = Field(default=5, ge=1, le=100_000)
    """Rounds of playing, then learning."""
    games: Annotated[int, Footprint.NONE] = Field(default=64, ge=1, le=2**16)
    """Games of a round."""
    simulations: Annotated[int, Footprint.NONE] = Field(default=16, ge=2, le=10_000)
    """Steps of the search before each move, in training and evaluation."""
    window: Annotated[int, Footprint.NONE] = Field(default=4, ge=1, le=1000)
    """Rounds whose positions are learned from: the last ones."""
    passes: Annotated[float, Footprint.NONE] = Field(default=4.0, gt=0, le=100)
    """How often a position is learned from, about: a game counts as 32, mirror images among them."""


class BoardGame(TaskTrainer[BoardGameParams, Tensor]):
    """A batch is a tensor of indices (B,) into the positions of the window."""

    name = "board_game"
    version = "1"
    help = "A policy and value net, tree search and self-play on Connect Four of 6 × 5: 20 seconds a trial on a CPU."
    Params = BoardGameParams
    metrics = (
        Metric(name="search_win_rate", direction=Direction.MAXIMIZE, range=(0.0, 1.0)),
        Metric(name="policy_win_rate", direction=Direction.MAXIMIZE, range=(0.0, 1.0)),
        *LOOP_METRICS,
    )
    default_objectives = (Objective(metric="search_win_rate", direction=Direction.MAXIMIZE),)
    default_search_space: ClassVar[SearchSpace] = {
        "learning_rate": FloatParameter(type="float", low=1e-4, high=1.0, log=True),
        "batch_size": IntParameter(type="int", low=16, high=256, powers_of_two=True),
    }
    capabilities = Capabilities(resume=True)
    constant_answer_called = "the same answer to every position"

    params: BoardGameParams
    rounds: list[Lessons]

    def prepare(self, params: BoardGameParams, *, device: torch.device, data_dir: Path) -> None:
        """Set up the board, and an untrained opponent that is the same for all trials."""
        self.params, self.device, self.data_dir = params, device, data_dir
        self.game = ConnectFour(rows=params.rows, columns=params.columns)
        self.search = TreeSearch(self.game, params.simulations)
        self.rounds = []
        self.sizes = params.sizes((2, self.game.rows, self.game.columns), n_out=self.game.columns)
        untrained = build_model(params.model, self.sizes, rng=generator(0, "untrained")).to(device).eval()
        self.untrained = judge_by(untrained, self.game, device=device)

    def build(self, params: BoardGameParams, rng: torch.Generator) -> nn.Module:
        """Return the net."""
        model = params.build(self.sizes, rng)
        params.start(model, self.data_dir)
        return model

    def collect(self, model: nn.Module, epoch: int, rng: torch.Generator) -> None:
        """Play a round."""
        judge = judge_by(model, self.game, device=self.device)
        numbers = np.random.default_rng(int(torch.randint(2**62, (), generator=rng)))
        new = play_against_itself(judge, self.search, self.params.games, numbers)
        self.rounds = [*self.rounds, new][-self.params.window :]
        self._lay_out()

    def _lay_out(self) -> None:
        """Put the window on the device, as the net takes it."""
        lessons = joined(self.rounds)
        arrays = (
            self.game.planes(lessons.positions),
            self.game.is_legal(lessons.positions),
            lessons.visits,
            lessons.values,
        )
        self.planes, self.is_legal, self.visits, self.values = (
            torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in arrays
        )

    def state(self) -> Mapping[str, Tensor]:
        """Return the window."""
        window = joined(self.rounds)
        return {
            "sizes": torch.tensor([len(each) for each in self.rounds]),
            "mine": torch.from_numpy(window.positions.mine),
            "theirs": torch.from_numpy(window.positions.theirs),
            "visits": torch.from_numpy(window.visits),
            "values": torch.from_numpy(window.values),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        parts = {
            name: [part.numpy() for part in torch.split(state[name], state["sizes"].tolist())]
            for name in ("mine", "theirs", "visits", "values")
        }
        self.rounds = [
            Lessons(Positions(mine, theirs), visits, values)
            for mine, theirs, visits, values in zip(*parts.values(), strict=True)
        ]

    def batches(self, epoch: int, rng: torch.Generator) -> Sequence[Tensor]:
        """Return positions of the window, drawn at random; all rounds make the same number of updates."""
        params = self.params
        n_batches = max(1, round(params.passes * params.games * _POSITIONS_OF_A_GAME / params.batch_size))
        drawn = torch.randint(len(self.values), (n_batches, params.batch_size), generator=rng)
        return list(drawn.to(self.device))

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        """Return the cross entropy with what the search made of the policy, plus the squared error of the value."""
        logits, values = model(self.planes[batch])
        return self._loss(logits, values, batch)

    def _loss(self, logits: Tensor, values: Tensor, batch: Tensor) -> Tensor:
        is_legal = self.is_legal[batch]
        log_chances = mask_illegal(logits, is_legal).log_softmax(1).masked_fill(~is_legal, 0)
        return (values - self.values[batch]).square().mean() - (self.visits[batch] * log_chances).sum(1).mean()

    def evaluate(self, model: nn.Module) -> Metrics:
        """Return how often the net wins: with search against the untrained net's, without against a random player."""
        judge = judge_by(model, self.game, device=self.device)
        against_search = play_both_sides(
            self.game,
            searching(judge, self.search),
            searching(self.untrained, self.search),
            openings(self.game, _OPENING),
        )
        chance = at_random(self.game, np.random.default_rng(0))
        against_chance = play_both_sides(self.game, without_search(judge), chance, self.game.begin(_N_RANDOM))
        return {
            "search_win_rate": float((against_search > 0).mean()),
            "policy_win_rate": float((against_chance > 0).mean()),
        }

    def constant_answer(self) -> Metrics:
        """Return the loss of liking each column as the search did on average, and of the mean value.

        Not the share of games won: with a search, some such answers win most of those against the untrained net.
        """
        liked = self.visits.sum(0) / self.is_legal.sum(0).clamp(min=1)
        everywhere = torch.arange(len(self.values), device=self.device)
        return {"train_loss": self._loss(liked.log().expand_as(self.visits), self.values.mean(), everywhere)}

    def describe(self, model: nn.Module) -> Mapping[str, object]:
        """Return what is needed to build the net again."""
        return describe_model(self.params.model, self.sizes, model)

    def figures(self, model: nn.Module) -> Mapping[str, str | bytes]:
        """Return a game that the net plays against the untrained one, and what both thought of it."""
        judge = judge_by(model, self.game, device=self.device)
        players = searching(judge, self.search), searching(self.untrained, self.search)
        positions = self.game.begin(1)
        stones: list[tuple[int, int]] = []
        values: list[tuple[float, float]] = []
        while not stones or not self.game.results(positions)[0][0]:
            turn = len(stones) % 2
            sign = 1 - 2 * turn
            values.append((sign * float(judge(positions)[1][0]), sign * float(self.untrained(positions)[1][0])))
            move = players[turn](positions)
            stones.append((int(move[0]), int(self.game.height(positions, move)[0])))
            positions = self.game.play(positions, move)
        number = torch.arange(1, len(stones) + 1)
        trained, untrained = torch.tensor(values).T
        return {
            "game": board(stones, rows=self.game.rows, columns=self.game.columns, players=("trained", "untrained")),
            "value_curve": curves(
                [("trained net", number, trained), ("untrained net", number, untrained)],
                x_label="move",
                y_label="value to the trained player",
            ),
        }
