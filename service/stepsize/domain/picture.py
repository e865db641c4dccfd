"""A valley as one line of text: a block for each rate, as high as the objective is there."""

from collections.abc import Sequence
from dataclasses import dataclass

_LEVELS = "▁▂▃▄▅▆▇█"
_SHOWN_SHARE = 0.85
"""Of the valley's points, counted from the good end, that lie within the picture's height: a cliff would flatten the
rest."""
_FEWEST = 3


@dataclass(frozen=True)
class Picture:
    """A valley to be printed with a font whose letters are equally wide."""

    blocks: str
    """Lowest rate first."""
    place: int
    """Of the block nearest to the recommended rate."""
    low: float
    """The objective that the lowest block stands for."""
    high: float

    def lines(self, start: str, end: str, rate: str, metric: str, bounds: tuple[str, str]) -> list[str]:
        """Return the picture between its first and its last rate, and below it a mark at the recommended one.

        Args:
            start: the lowest rate, as text, as are all of these.
            bounds: `low` and `high`.
        """
        return [
            f"{start} {self.blocks} {end}   {metric} from {bounds[0]} (low) to {bounds[1]} (high)",
            f"{' ' * (len(start) + 1 + self.place)}↑ {rate}",
        ]


def draw_picture(points: Sequence[tuple[float, float]], rate: float, *, maximizes: bool) -> Picture | None:
    """Return the picture of a valley; None with fewer than three points.

    Args:
        points: learning rates and what the objective is there, lowest rate first.
        rate: the recommended one.
    """
    if len(points) < _FEWEST:
        return None
    values = [value for _, value in points]
    low, high = _shown(values, maximizes=maximizes)
    span = (high - low) or 1.0
    heights = [min(1.0, max(0.0, (value - low) / span)) for value in values]
    return Picture(
        blocks="".join(_LEVELS[round(height * (len(_LEVELS) - 1))] for height in heights),
        place=min(range(len(points)), key=lambda at: max(points[at][0] / rate, rate / points[at][0])),
        low=low,
        high=high,
    )


def _shown(values: Sequence[float], *, maximizes: bool) -> tuple[float, float]:
    """Return from where to where the picture reaches: all of the good end, and as far up its walls as most points."""
    ordered = sorted(values, reverse=maximizes)
    far = ordered[round(_SHOWN_SHARE * (len(ordered) - 1))]
    return min(ordered[0], far), max(ordered[0], far)
