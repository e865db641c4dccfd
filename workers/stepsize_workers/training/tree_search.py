"""Monte Carlo tree search, one tree for each of many games at once. Shapes: G games, M nodes of a tree, A moves.

A net says which moves are promising and who stands how; the search looks further where both say so. All games go down
their trees in step, so that a simulation is some dozens of operations on arrays and one call of the net.

Source: Silver et al. 2017, "Mastering chess and shogi by self-play" (arXiv:1712.01815).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepsize_workers.training.connect_four import ConnectFour, Positions

Floats = NDArray[np.float32]
Judge = Callable[[Positions], tuple[Floats, Floats]]
"""Positions (G,) → chances of the moves (G, A), 0 where not legal, and worth to who is to move (G,), from −1 to 1."""
_NONE = -1


@dataclass(frozen=True)
class TreeSearch:
    """How to search."""

    game: ConnectFour
    simulations: int
    exploration: float = 1.5
    """How far a move's chance counts beside what it led to."""

    def look(self, judge: Judge, positions: Positions, *, noise: Floats | None = None) -> tuple[Floats, Floats]:
        """Return how simulations were shared between the moves of positions (G,) that aren't over, and what they found.

        Shares are (G, A), sum 1; what they found is their mean worth to who is to move, (G,), from −1 to 1.

        Args:
            noise: (G, A), sum 1 over legal moves: mixed into the chances of the first moves, so that play varies.
        """
        trees = _Trees(self, judge, positions, noise)
        for node in range(1, self.simulations + 1):
            trees.simulate(node)
        counts, totals = trees.counts[:, 0], trees.totals[:, 0]
        n = counts.sum(1, keepdims=True)
        return counts / n, totals.sum(1) / n[:, 0]


_NOISE_SHARE = 0.25


class _Trees:
    """G trees; node 0 is the root, and simulation i adds node i, or none where it ends in a game that is over."""

    def __init__(self, search: TreeSearch, judge: Judge, roots: Positions, noise: Floats | None) -> None:
        n_games, n_nodes, n_moves = len(roots), search.simulations + 1, search.game.columns
        self._search, self._judge, self._game = search, judge, search.game
        self._every = np.arange(n_games)
        self._mine = np.zeros((n_games, n_nodes), dtype=np.int64)
        self._theirs = np.zeros((n_games, n_nodes), dtype=np.int64)
        self._children = np.full((n_games, n_nodes, n_moves), _NONE)
        self._chances = np.zeros((n_games, n_nodes, n_moves), dtype=np.float32)
        self.totals = np.zeros((n_games, n_nodes, n_moves), dtype=np.float32)
        self.counts = np.zeros((n_games, n_nodes, n_moves), dtype=np.float32)
        self._is_over = np.zeros((n_games, n_nodes), dtype=np.bool_)
        self._worth = np.zeros((n_games, n_nodes), dtype=np.float32)
        self._mine[:, 0], self._theirs[:, 0] = roots.mine, roots.theirs
        self._chances[:, 0], self._worth[:, 0] = judge(roots)
        if noise is not None:
            self._chances[:, 0] = (1 - _NOISE_SHARE) * self._chances[:, 0] + _NOISE_SHARE * noise

    def simulate(self, new: int) -> None:
        """Go down every tree to a node that isn't there yet, add it as number `new`, and tell those above of it."""
        every = self._every
        nodes = np.zeros(len(every), dtype=np.int64)
        is_going = ~self._is_over[every, nodes]
        path = []
        parents, moves = nodes, nodes
        while is_going.any():
            chosen = self._choose(nodes)
            path.append((nodes, chosen, is_going))
            children = self._children[every, nodes, chosen]
            is_new = is_going & (children == _NONE)
            parents, moves = np.where(is_new, nodes, parents), np.where(is_new, chosen, moves)
            nodes = np.where(is_new, new, np.where(is_going, children, nodes))
            is_going = is_going & ~is_new & ~self._is_over[every, nodes]
        self._add(new, np.flatnonzero(nodes == new), parents, moves)
        worth = self._worth[every, nodes]
        # All paths end at the last level but those that were shorter: a worth turns round only where its path goes on.
        for nodes_above, chosen, was_going in reversed(path):
            worth = np.where(was_going, -worth, worth)
            self.counts[every, nodes_above, chosen] += was_going
            self.totals[every, nodes_above, chosen] += np.where(was_going, worth, 0)

    def _choose(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the most promising moves (G,) of nodes (G,)."""
        every = self._every
        counts, chances = self.counts[every, nodes], self._chances[every, nodes]
        means = self.totals[every, nodes] / np.maximum(counts, 1)
        room = self._search.exploration * np.sqrt(counts.sum(1, keepdims=True) + 1)
        scores = np.where(chances > 0, means + room * chances / (1 + counts), -np.inf)
        return np.asarray(scores.argmax(1))

    def _add(self, new: int, games: NDArray[np.int64], parents: NDArray[np.int64], moves: NDArray[np.int64]) -> None:
        """Add a node to some games' trees, by a move from its parent."""
        if not len(games):
            return
        parents, moves = parents[games], moves[games]
        self._children[games, parents, moves] = new
        positions = self._game.play(Positions(self._mine[games, parents], self._theirs[games, parents]), moves)
        self._mine[games, new], self._theirs[games, new] = positions.mine, positions.theirs
        is_over, result = self._game.results(positions)
        self._chances[games, new], worth = self._judge(positions)
        self._is_over[games, new] = is_over
        self._worth[games, new] = np.where(is_over, result, worth)
