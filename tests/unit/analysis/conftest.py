"""Fewer draws: where a test is not about the intervals themselves, a rough posterior shows the same."""

import pytest

from stepsize.analysis import choices, landscape
from stepsize.analysis.valley import Effort

ROUGH = Effort(n_steps=120, n_burn_in=60, thin=3)


@pytest.fixture(autouse=True)
def rough_posteriors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw a tenth of what reports draw."""
    monkeypatch.setattr(landscape, "EFFORT", ROUGH)
    monkeypatch.setattr(choices, "EFFORT", ROUGH)
