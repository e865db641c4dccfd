"""Connect Four on a small board, many games at once. Shapes: … any, A columns, L lines of four.

A position is two integers, the stones of who is to move and those of the other: bit column · rows + row, counted from
the bottom left. Stones fall to the lowest free place of a column; four in a line win.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.int64]
"""(…)"""
_IN_A_ROW = 4


@dataclass(frozen=True)
class Positions:
    """Positions, (…) each."""

    mine: Bits
    """Of who is to move."""
    theirs: Bits

    def __len__(self) -> int:
        return len(self.mine)

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Positions":
        return Positions(self.mine[rows], self.theirs[rows])


@dataclass(frozen=True)
class ConnectFour:
    """The game's rules."""

    rows: int = 4
    columns: int = 5

    @cached_property
    def _columns(self) -> Bits:
        """The places of each column, (A,)."""
        return np.array([((1 << self.rows) - 1) << (column * self.rows) for column in range(self.columns)])

    @cached_property
    def _bottoms(self) -> Bits:
        """The lowest place of each column, (A,)."""
        return np.array([1 << (column * self.rows) for column in range(self.columns)])

    @cached_property
    def _lines(self) -> Bits:
        """The places of each line of four, (L,)."""
        lines = []
        for column in range(self.columns):
            for row in range(self.rows):
                for right, up in ((1, 0), (0, 1), (1, 1), (1, -1)):
                    places = [(column + right * step, row + up * step) for step in range(_IN_A_ROW)]
                    if all(0 <= c < self.columns and 0 <= r < self.rows for c, r in places):
                        lines.append(sum(1 << (c * self.rows + r) for c, r in places))
        return np.array(lines)

    def begin(self, n: int) -> Positions:
        """Return n empty boards."""
        return Positions(np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64))

    def is_legal(self, positions: Positions) -> NDArray[np.bool_]:
        """Return which columns have room: (…, A)."""
        taken: Bits = (positions.mine | positions.theirs)[..., None]
        return np.asarray((taken & self._columns) != self._columns)

    def play(self, positions: Positions, moves: NDArray[np.int64]) -> Positions:
        """Return what legal moves (…) lead to, seen by who is to move then."""
        column = self._columns[moves]
        stone = (((positions.mine | positions.theirs) & column) + self._bottoms[moves]) & column
        return Positions(positions.theirs, positions.mine | stone)

    def results(self, positions: Positions) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return which games are over, and their worth to who would be to move: −1 lost, 0 drawn or going on."""
        is_lost = ((positions.theirs[..., None] & self._lines) == self._lines).any(-1)
        is_full = ~self.is_legal(positions).any(-1)
        return is_lost | is_full, -is_lost.astype(np.float32)

    def height(self, positions: Positions, moves: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row, from the bottom, where the stone of a legal move (…) comes to lie."""
        taken = (positions.mine | positions.theirs) >> (moves * self.rows)
        return np.asarray(((taken[..., None] >> np.arange(self.rows)) & 1).sum(-1))

    def mirror(self, stones: Bits) -> Bits:
        """Return stones (…) with left and right exchanged."""
        flipped = np.zeros_like(stones)
        for column in range(self.columns):
            places = (stones & self._columns[column]) >> (column * self.rows)
            flipped |= places << ((self.columns - 1 - column) * self.rows)
        return flipped

    def planes(self, positions: Positions) -> NDArray[np.float32]:
        """Return positions as a net sees them, (…, 2, rows, columns): mine, theirs; the top row comes first."""
        bits = np.arange(self.rows * self.columns).reshape(self.columns, self.rows).T[::-1]
        stones = np.stack([positions.mine, positions.theirs], -1)[..., None, None]
        return ((stones >> bits) & 1).astype(np.float32)
