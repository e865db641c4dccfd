"""Games from beginning to end, many at once. Shapes: G games, A moves, P positions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stepsize_workers.training.connect_four import ConnectFour, Positions
from stepsize_workers.training.tree_search import Floats, Judge, TreeSearch

Player = Callable[[Positions], NDArray[np.int64]]
"""Positions (G,) that aren't over → moves (G,)."""
_CURIOUS_MOVES = 6
"""Moves of a game against itself that are drawn by their visits; later ones are the most visited."""
_CONCENTRATION = 1.0
"""Of the noise on first moves (Dirichlet's alpha): about as even as not."""
_SEARCHED = 0.5
"""Share of a value's target that the search found; the rest is how the game ended, in which luck has its part."""


@dataclass(frozen=True)
class Lessons:
    """What games against itself teach: P positions."""

    positions: Positions
    visits: Floats
    """(P, A): how the search shared its simulations."""
    values: Floats
    """(P,), from −1 to 1: how the game ended for who was to move, and what the search made of it, in equal parts."""

    def __len__(self) -> int:
        return len(self.values)


def judge_by(model: nn.Module, game: ConnectFour, *, device: torch.device) -> Judge:
    """Return a net as a judge of positions; it is used as it is at that moment."""

    def judge(positions: Positions) -> tuple[Floats, Floats]:
        logits, values = model(torch.from_numpy(game.planes(positions)).to(device))
        chances = mask_illegal(logits, torch.from_numpy(game.is_legal(positions)).to(device)).softmax(1)
        return chances.cpu().numpy(), values.cpu().numpy()

    return judge


def mask_illegal(logits: Tensor, is_legal: Tensor) -> Tensor:
    """Return logits (B, A) with illegal moves out of the question; where none is legal, as they are."""
    return torch.where(is_legal | ~is_legal.any(1, keepdim=True), logits, -torch.inf)


def searching(judge: Judge, search: TreeSearch) -> Player:
    """Return a player that makes the move its search visited most."""
    return lambda positions: search.look(judge, positions)[0].argmax(1)


def without_search(judge: Judge) -> Player:
    """Return a player that makes the move its net likes best."""
    return lambda positions: judge(positions)[0].argmax(1)


def at_random(game: ConnectFour, rng: np.random.Generator) -> Player:
    """Return a player that makes any legal move."""

    def choose(positions: Positions) -> NDArray[np.int64]:
        is_legal = game.is_legal(positions)
        return np.asarray((is_legal * (1 + rng.random(is_legal.shape))).argmax(1))

    return choose


def openings(game: ConnectFour, n_moves: int) -> Positions:
    """Return the positions after all sequences of so many moves, none of which ends a game or fills a column."""
    positions = game.begin(1)
    for _ in range(n_moves):
        n = len(positions)
        every = Positions(positions.mine.repeat(game.columns), positions.theirs.repeat(game.columns))
        positions = game.play(every, np.tile(np.arange(game.columns), n))
    return positions


def play_match(game: ConnectFour, first: Player, second: Player, positions: Positions) -> Floats:
    """Return how games (G,) that begin at positions end for `first`, who moves first: 1, 0 or −1 each, (G,)."""
    results = np.zeros(len(positions), dtype=np.float32)
    rows = np.arange(len(positions))
    players, sign = (first, second), 1.0
    while len(rows):
        positions = game.play(positions, players[0](positions))
        is_over, worth = game.results(positions)
        results[rows[is_over]] = -sign * worth[is_over]  # worth is that of who would be to move: not who has just moved
        rows, positions = rows[~is_over], positions[~is_over]
        players, sign = players[::-1], -sign
    return results


def play_both_sides(game: ConnectFour, player: Player, opponent: Player, positions: Positions) -> Floats:
    """Return how games end for a player that has each position once as the first to move and once as the second."""
    return np.concatenate(
        [play_match(game, player, opponent, positions), -play_match(game, opponent, player, positions)]
    )


def play_against_itself(judge: Judge, search: TreeSearch, n_games: int, rng: np.random.Generator) -> Lessons:
    """Play whole games, the same net on both sides, and return what they teach, each position's mirror image too."""
    game = search.game
    positions, rows = game.begin(n_games), np.arange(n_games)
    results = np.zeros(n_games, dtype=np.float32)  # of who moves first
    sign = 1.0
    seen: list[tuple[Positions, Floats, Floats, NDArray[np.int64], float]] = []
    while len(rows):
        is_legal = game.is_legal(positions)
        noise = is_legal * rng.gamma(_CONCENTRATION, size=is_legal.shape)
        visits, worth = search.look(judge, positions, noise=(noise / noise.sum(1, keepdims=True)).astype(np.float32))
        seen.append((positions, visits, worth, rows, sign))
        moves = _draw(visits, rng) if len(seen) <= _CURIOUS_MOVES else visits.argmax(1)
        positions = game.play(positions, moves)
        is_over, result = game.results(positions)
        results[rows[is_over]] = -sign * result[is_over]
        rows, positions = rows[~is_over], positions[~is_over]
        sign = -sign
    return _with_mirrors(
        game,
        Lessons(
            Positions(np.concatenate([p.mine for p, *_ in seen]), np.concatenate([p.theirs for p, *_ in seen])),
            np.concatenate([visits for _, visits, *_ in seen]),
            np.concatenate(
                [(1 - _SEARCHED) * side * results[games] + _SEARCHED * worth for _, _, worth, games, side in seen]
            ).astype(np.float32),
        ),
    )


def _draw(chances: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a move for each row of chances (G, A)."""
    return np.asarray((chances.cumsum(1) > rng.random((len(chances), 1)) * chances.sum(1, keepdims=True)).argmax(1))


def _with_mirrors(game: ConnectFour, lessons: Lessons) -> Lessons:
    mirrored = [game.mirror(lessons.positions.mine), game.mirror(lessons.positions.theirs)]
    return Lessons(
        Positions(
            np.concatenate([lessons.positions.mine, mirrored[0]]),
            np.concatenate([lessons.positions.theirs, mirrored[1]]),
        ),
        np.concatenate([lessons.visits, lessons.visits[:, ::-1]]),
        np.tile(lessons.values, 2),
    )


def joined(parts: Sequence[Lessons]) -> Lessons:
    """Return several lessons as one."""
    return Lessons(
        Positions(
            np.concatenate([each.positions.mine for each in parts]),
            np.concatenate([each.positions.theirs for each in parts]),
        ),
        np.concatenate([each.visits for each in parts]),
        np.concatenate([each.values for each in parts]),
    )
