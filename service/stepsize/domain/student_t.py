"""Student's t distribution, as far as intervals of means need it: without scipy, which the API process doesn't load."""

import math

_MAX_TERMS = 500
_PRECISE = 1e-14
_TINY = 1e-300


def t_quantile(probability: float, *, df: float) -> float:
    """Return the value that a t-distributed number with `df` > 0 degrees of freedom (a fraction, too) stays below.

    Args:
        probability: in (0.5, 1).

    Source: the distribution function is 1 − I(df / (df + t²); df/2, 1/2) / 2 (DLMF 8.17); inverted by bisection.
    """
    assert 0.5 < probability < 1, "the lower half is its mirror image"
    low, high = 0.0, 1.0
    while _t_cdf(high, df) < probability:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _t_cdf(middle, df) < probability else (low, middle)
    return (low + high) / 2


def _t_cdf(t: float, df: float) -> float:
    return 1 - 0.5 * _regularised_beta(df / (df + t * t), df / 2, 0.5)


def _regularised_beta(x: float, a: float, b: float) -> float:
    """Return I(x; a, b) by its continued fraction (DLMF 8.17.22), mirrored to where that converges fast."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _regularised_beta(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / (a * _continued_fraction(x, a, b))


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Return 1 + d1/(1 + d2/(1 + …)), evaluated from the front (Lentz)."""
    value, c, d = 1.0, 1.0, 0.0
    for n in range(1, _MAX_TERMS):
        m = n // 2
        if n % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d or _TINY)
        c = 1 + term / c or _TINY
        value *= c * d
        if abs(c * d - 1) < _PRECISE:
            break
    return value
