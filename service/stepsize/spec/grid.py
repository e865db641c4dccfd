"""Grids: every combination of a search space's values, each exactly once."""

from stepsize.spec.space import Scalar, SearchSpace, applies, in_dependency_order

MAX_CELLS = 100_000
"""Larger grids are refused: they would never finish, and the list of cells is held in memory."""


def grid_cells(space: SearchSpace, *, points: int | None) -> list[dict[str, Scalar]]:
    """Return the cells of a grid in a fixed order; a conditional parameter is varied only where it applies.

    Args:
        points: how many values a continuous float gets.

    Raises:
        ValueError: a continuous float and no `points`, or more than MAX_CELLS cells.
    """
    cells: list[dict[str, Scalar]] = [{}]
    for name in in_dependency_order(space):
        values = space[name].values(points=points)
        if len(cells) * len(values) > MAX_CELLS:
            raise ValueError(f"the grid has more than {MAX_CELLS} cells; use fewer points, or a random search")
        cells = [
            {**cell, name: value} if value is not None else cell
            for cell in cells
            for value in (values if applies(space[name], cell) else [None])
        ]
    return cells
