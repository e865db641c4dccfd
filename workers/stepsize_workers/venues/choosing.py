"""How many trials to train as one, given how fast 1, 2, 4, … of them were seen to train: a function of the record.

More members than pay make a search coarser, as all of a group share a shape: so the fewest that are nearly the fastest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WORTH_IT = 1.15
"""Together they must be this much faster than alone: a measurement of few updates may be wrong by as much."""
_NEARLY = 0.95
"""Of two sizes whose speeds differ by less the smaller is taken."""


@dataclass(frozen=True)
class Choice:
    """How many trials to train as one; 1: each alone."""

    size: int
    why: str


def choose_size(rates: Sequence[float], most: int) -> Choice:
    """Return how many trials are to train as one.

    Args:
        rates: updates a second that 1, 2, 4, … make, all together; maybe of none.
        most: how many there are to train.
    """
    if not rates:
        return Choice(1, "its trainer can't say how fast it trains several as one")
    fastest = max(_rate_of(rates, size) for size in _sizes(rates, most))
    size = min(size for size in _sizes(rates, most) if _rate_of(rates, size) >= _NEARLY * fastest)
    seen = f"measured: {_words(rates)}"
    if len(rates) == 1:
        return Choice(1, f"{seen}; two together were not tried, for want of time or memory")
    if fastest < WORTH_IT * rates[0]:
        return Choice(1, f"{seen}; to train as one, up to {most} would have to be {WORTH_IT:g} times as fast")
    return Choice(size, f"{seen}; so up to {size} train as one")


def _sizes(rates: Sequence[float], most: int) -> list[int]:
    """Return the sizes that there are enough trials for: those measured, and all of the trials if that lies between."""
    measured = [1 << power for power in range(len(rates))]
    return [size for size in measured if size < most] + ([most] if most <= measured[-1] else [])


def _rate_of(rates: Sequence[float], size: int) -> float:
    """Return how fast a size trains, on a straight line between the sizes measured around it."""
    power = size.bit_length() - 1
    below = 1 << power
    if size == below:
        return rates[power]
    share = (size - below) / below
    return (1 - share) * rates[power] + share * rates[power + 1]


def _words(rates: Sequence[float]) -> str:
    """Return e.g. `1 trial makes 1,731 updates a second, 2 together 1,905, 4 together 3,020`."""
    first, *others = [f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}" for rate in rates]
    return ", ".join(
        [f"1 trial makes {first} updates a second", *(f"{2 << n} together {rate}" for n, rate in enumerate(others))]
    )
