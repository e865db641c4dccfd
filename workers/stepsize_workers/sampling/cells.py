"""Discrete search spaces: which configurations have been tried, and which are left."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator

from stepsize.domain.seeds import derive_seed
from stepsize.spec.grid import grid_cells
from stepsize.spec.samplers import GridSampler
from stepsize.spec.space import Params, Scalar, SearchSpace

Key = frozenset[tuple[str, int]]
"""A configuration as parameter → number of its value."""

MAX_LISTED = 10_000
"""Cells of a space that are listed to know which are left; a larger space is taken to be inexhaustible."""


class Cells:
    """What has been tried of a search space."""

    def __init__(self, space: SearchSpace, admits: Callable[[Params], bool]) -> None:
        self._space = space
        self._n_values = {name: parameter.n_values for name, parameter in space.items()}
        self._tried: Counter[Key] = Counter()
        self._listed = self._list(admits)
        self._n_left = len(self._listed)

    @property
    def is_exhausted(self) -> bool:
        """Whether every configuration has been tried; never in a space too large to list."""
        return self._is_listed and self._n_left == 0

    def left(self) -> Iterator[dict[str, Scalar]]:
        """Yield what is left of a space that is listed."""
        return (dict(cell) for key, cell in self._listed.items() if key not in self._tried)

    def has(self, params: Params) -> bool:
        """Tell whether a configuration has been tried."""
        key = self._key(params)
        return key is not None and key in self._tried

    def enter(self, params: Params) -> None:
        """Note that a configuration is being tried."""
        key = self._key(params)
        if key is None:
            return
        self._tried[key] += 1
        if self._tried[key] == 1 and key in self._listed:
            self._n_left -= 1

    def leave(self, params: Params) -> None:
        """Take back an `enter`."""
        key = self._key(params)
        if key is None:
            return
        self._tried[key] -= 1
        if not self._tried[key]:
            del self._tried[key]
            self._n_left += key in self._listed

    def _key(self, params: Params) -> Key | None:
        """Return what equal configurations share; None: a continuous parameter makes it unlike any other."""
        if any(self._n_values[name] is None for name in params):
            return None
        return frozenset((name, self._space[name].index_of(value)) for name, value in params.items())

    def _list(self, admits: Callable[[Params], bool]) -> dict[Key, dict[str, Scalar]]:
        bound = math.prod(math.inf if n is None else n for n in self._n_values.values())
        self._is_listed = bool(self._space) and bound <= MAX_LISTED
        if not self._is_listed:
            return {}
        cells = (cell for cell in grid_cells(self._space, points=None) if admits(cell))
        return {key: cell for cell in cells if (key := self._key(cell)) is not None}


class Grid:
    """Which cells of a grid are still to be tried, in an order shuffled by the job's seed."""

    def __init__(self, sampler: GridSampler, space: SearchSpace, seed: int, admits: Callable[[Params], bool]) -> None:
        self.cells = grid_cells(space, points=sampler.points)
        order = [index for index, cell in enumerate(self.cells) if admits(cell)]
        random.Random(derive_seed(seed, "grid")).shuffle(order)
        self._left = dict.fromkeys(order)
        self._index = {_typed(cell): index for index, cell in enumerate(self.cells)}

    @property
    def is_exhausted(self) -> bool:
        return not self._left

    def next_cell(self, like: Params | None = None) -> int | None:
        """Take the next cell, or the next that shares some parameters; None: there is none."""
        alike = (
            cell
            for cell in self._left
            if all(_same_in(self.cells[cell], name, value) for name, value in (like or {}).items())
        )
        cell = next(alike, None)
        if cell is not None:
            self.mark_taken(cell)
        return cell

    def take(self, params: Params) -> int | None:
        """Return the free cell these parameters are, if they are one, and take it."""
        cell = self._index.get(_typed(params))
        if cell not in self._left:
            return None
        self.mark_taken(cell)
        return cell

    def give_back(self, cell: int) -> None:
        self._left[cell] = None

    def mark_taken(self, cell: int) -> None:
        self._left.pop(cell, None)


def _same_in(params: Params, name: str, value: Scalar) -> bool:
    return name in params and type(params[name]) is type(value) and params[name] == value


def _typed(params: Params) -> frozenset[tuple[str, type, Scalar]]:
    """Return what equal configurations share, types included: True is not 1."""
    return frozenset((name, type(value), value) for name, value in params.items())
