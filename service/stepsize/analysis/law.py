"""The scaling law: how the best rate moves with the batch size."""

import numpy as np

from stepsize.analysis.arrays import Floats
from stepsize.analysis.findings import Findings
from stepsize.analysis.intervals import of_draws, unknown
from stepsize.analysis.landscape import FEW, Landscape
from stepsize.domain.estimate import Estimate
from stepsize.domain.report import ScalingLaw, ScalingRule

_EXPONENTS = {ScalingRule.NONE: 0.0, ScalingRule.SQUARE_ROOT: 0.5, ScalingRule.LINEAR: 1.0}
_RULE_WORDS = {
    ScalingRule.NONE: "it need not move with the batch size",
    ScalingRule.SQUARE_ROOT: "the square-root rule fits",
    ScalingRule.LINEAR: "the linear rule fits",
}
_ROUNDING = 0.005
"""Slopes are told to two digits."""
_MOST_WIDTH = 2.0
"""An exponent known to no better than this is not known."""


def scaling_law(findings: Findings) -> ScalingLaw:
    """Return log10 lr* = a + b log10 B, B the effective batch size."""
    landscape = findings.landscape
    if not isinstance(landscape, Landscape):
        return _no_law(landscape.reason)
    slopes = landscape.slopes()
    if slopes is None:
        return _no_law("the batch size was not searched")
    seen = [at for at, spot in findings.spots.items() if spot.n_near >= FEW]
    if len(seen) < 2:
        return _no_law(f"fewer than two batch sizes have {FEW} trials near their best learning rate")
    low, high = np.quantile(slopes, [0.025, 0.975])
    if high - low > _MOST_WIDTH:
        return _no_law(f"the exponent could be anything from {low:.1f} to {high:.1f}")
    b = of_draws(slopes)
    caveat = _caveat(findings)
    return ScalingLaw(
        a=of_draws(_anchors(landscape, slopes)),
        b=b,
        rule=_only_rule(b),
        n_trials=int(landscape.about.sum()),
        sentence=f"The best learning rate grows with the batch size to the power {b.value:.2f} "
        f"(95 % interval {b.low:.2f} to {b.high:.2f}): {_rule_words(_admitted_rules(b))}.",
        caveat=caveat,
    )


def _anchors(landscape: Landscape, slopes: Floats) -> Floats:
    centres = [landscape.centres(float(group)) for group in landscape.layout.groups]
    return np.asarray(np.mean(centres, axis=0) - slopes * landscape.layout.middle)


def _caveat(findings: Findings) -> str | None:
    guessed = [f"{10**at:.0f}" for at, spot in findings.spots.items() if spot.flag is not None]
    caveats = list(findings.doubts[:1])
    if guessed:
        caveats.append(f"at batch size {', '.join(guessed)} the best rate is extrapolated or rests on few trials")
    return "; ".join(caveats) or None


def _only_rule(b: Estimate) -> ScalingRule | None:
    rules = _admitted_rules(b)
    return rules[0] if len(rules) == 1 else None


def _admitted_rules(b: Estimate) -> list[ScalingRule]:
    assert b.low is not None, "called with a known slope"
    assert b.high is not None, "called with a known slope"
    low, high = b.low - _ROUNDING, b.high + _ROUNDING
    return [rule for rule, exponent in _EXPONENTS.items() if low <= exponent <= high]


def _rule_words(admitted: list[ScalingRule]) -> str:
    if len(admitted) == 1:
        return _RULE_WORDS[admitted[0]]
    if admitted:
        return "not enough trials to tell the rules apart (" + ", ".join(map(_with_hyphen, admitted)) + ")"
    return "neither the square-root nor the linear rule fits"


def _with_hyphen(rule: ScalingRule) -> str:
    return rule.replace("_", "-")


def _no_law(reason: str) -> ScalingLaw:
    nothing = unknown(reason)
    return ScalingLaw(
        a=nothing,
        b=nothing,
        rule=None,
        n_trials=0,
        sentence=f"How the best learning rate moves with the batch size can't be said: {reason}.",
        caveat=reason,
    )
