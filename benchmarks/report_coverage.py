"""How honest the report's intervals are: `python -m benchmarks.report_coverage`, on valleys whose answer is known.

For each design of trials and each exponent of the scaling law: in how many of 100 seeds the 95 % interval of `b` covers
the exponent, how wide it is, and how far the recommended rate lies from the valley's bottom. Then the processor time of
a report of 150 and of 10,000 trials. Minutes on one core; prints Markdown tables.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from stepsize.analysis.report import make_report
from stepsize.analysis.sample import make_sample
from stepsize.analysis.valley import Unclear, Valley, fit_valley
from stepsize.domain.evidence import Evidence
from tests.unit.analysis.designs import concentrated_rates, pruned_evidence, uniform_rates, valley_evidence

N_SEEDS = 100
N_TRIALS = 150
EXPONENTS = (0.0, 0.5, 1.0)
DESIGNS: dict[str, Callable[..., Evidence]] = {
    "uniform": partial(valley_evidence, draw=uniform_rates),
    "concentrated": partial(valley_evidence, draw=concentrated_rates),
    "pruned": pruned_evidence,
}


def main() -> None:
    """Print both tables."""
    print_line(
        "| design | exponent | covered | median width of b | rate: median and worst error in decades | no answer |"
    )
    print_line("| --- | --- | --- | --- | --- | --- |")
    for design, make in DESIGNS.items():
        for exponent in EXPONENTS:
            print_line(_row(design, exponent, make))
    print_line("")
    print_line("| trials | processor seconds of a report |")
    print_line("| --- | --- |")
    for n_trials in (N_TRIALS, 10_000):
        print_line(f"| {n_trials:,} | {_report_s(n_trials):.2f} |")


def print_line(line: str) -> None:
    """Print a line at once: the tables grow as one watches."""
    print(line, flush=True)  # noqa: T201 - the product of this script


def _row(design: str, exponent: float, make: Callable[..., Evidence]) -> str:
    fits = [fit_valley(make_sample(make(N_TRIALS, seed=seed, exponent=exponent))) for seed in range(N_SEEDS)]
    valleys = [fit for fit in fits if isinstance(fit, Valley)]
    n_unclear = sum(isinstance(fit, Unclear) for fit in fits)
    slopes = [(b.low, b.high) for valley in valleys if (b := valley.slope()).low is not None and b.high is not None]
    covered = sum(low <= exponent <= high for low, high in slopes)
    width = median(high - low for low, high in slopes)
    errors = _rate_errors(valleys, exponent)
    return (
        f"| {design} | {exponent} | {covered} of {len(fits)} | {width:.4f} | "
        f"{median(errors):.4f}, {max(errors):.4f} | {n_unclear} |"
    )


def _rate_errors(valleys: Sequence[Valley], exponent: float) -> list[float]:
    """Return the distance of the recommended rate from the bottom at batch size 64, in decades."""
    truth = -2 + exponent * math.log10(64 / 32)
    rates = [valley.rate(math.log10(64)).value for valley in valleys]
    return [abs(rate - truth) for rate in rates if rate is not None]


def _report_s(n_trials: int) -> float:
    evidence = valley_evidence(n_trials)
    make_report(evidence)  # the first one imports and warms up
    began = time.process_time()
    make_report(evidence)
    return time.process_time() - began


if __name__ == "__main__":
    main()
