"""The front of several objectives: the points no other point beats."""

import math
from collections.abc import Sequence

Point = tuple[float, ...]
"""One cost an objective; smaller is better."""


def non_dominated(points: Sequence[Point]) -> list[int]:
    """Return the indices of the points that no other point dominates, by the first cost; equal points all count.

    A point dominates another that is nowhere better and somewhere worse.
    """
    # In lexicographic order a point can be dominated only by one that comes before it.
    order = sorted(range(len(points)), key=lambda index: points[index])
    if points and len(points[0]) <= 2:
        return _sweep(points, order)
    front: list[int] = []
    for index in order:
        for rank, other in enumerate(front):
            if _dominates(points[other], points[index]):
                front.insert(0, front.pop(rank))  # what dominates one point often dominates the next
                break
        else:
            front.append(index)
    return sorted(front, key=lambda index: (points[index], index))


def _sweep(points: Sequence[Point], order: Sequence[int]) -> list[int]:
    """Return the front of at most two objectives, in one pass from the best first cost on."""
    front: list[int] = []
    lowest = (math.inf, math.inf)  # the last point on the front, backwards: second cost, first cost
    for index in order:
        point = points[index]
        backwards = (point[-1], point[0])
        if backwards[0] < lowest[0] or backwards == lowest:
            front.append(index)
            lowest = backwards
    return front


def _dominates(one: Point, other: Point) -> bool:
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
