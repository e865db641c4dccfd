"""The jobs in examples/ can be posted."""

from pathlib import Path

import pytest

from stepsize.cli.job_file import read_job
from stepsize.spec.job import JobSpec

EXAMPLES = Path(__file__).parents[3] / "examples"
JOBS = sorted(path for suffix in ("*.json", "*.yaml") for path in EXAMPLES.glob(suffix))


def test_there_are_examples() -> None:
    assert len(JOBS) >= 3


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_an_example_is_a_valid_spec(path: Path) -> None:
    spec = JobSpec.model_validate(read_job(str(path)))
    assert spec.search_space, "an example shows its search space"
