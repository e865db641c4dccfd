"""Where a best rate lies in a trainer's default search space: what a scan says, and when it says nothing."""

import pytest

from benchmarks.default_spaces import Cell, Outcome, find, missing

CELL = Cell("tabular_classifier", {"dataset": "breast_cancer"})


def outcomes(values: list[float | None]) -> list[Outcome]:
    return [Outcome(rate, 0, value, 1.0) for rate, value in zip(CELL.rates, values, strict=True)]


def test_rates_are_a_decade_apart_and_leave_out_the_outer_half_decades() -> None:
    assert CELL.ends == (1e-4, 1.0)
    assert CELL.rates == pytest.approx([10**-3.5, 10**-2.5, 10**-1.5, 10**-0.5])
    assert missing(CELL, outcomes([0.5, 0.9, 0.8, None])[:3], 0) == CELL.rates[3:]


@pytest.mark.parametrize(
    ("values", "inside"),
    [([0.5, 0.9, 0.8, None], True), ([0.9, 0.8, 0.7, None], False), ([0.5, 0.6, 0.7, 0.9], False)],
)
def test_inside_is_neither_the_lowest_nor_the_highest(values: list[float | None], inside: bool) -> None:
    found = find(CELL, outcomes(values))
    assert found is not None
    assert found.is_well_inside is inside


def test_a_scan_with_a_rate_missing_says_nothing() -> None:
    assert find(CELL, outcomes([0.5, 0.9, 0.8, None])[:3]) is None
