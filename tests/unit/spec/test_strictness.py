"""What stands in a spec is what its type says: nothing is read into something else."""

from typing import Any

import pytest
from pydantic import ValidationError

from stepsize.api.requests import JobPatch
from stepsize.spec.base import Spec
from stepsize.spec.job import JobSpec
from stepsize.spec.range_test import RangeTestSpec

TRAINER = {"name": "net"}


def _space(**range_: Any) -> dict[str, Any]:
    return {"trainer": TRAINER, "search_space": {"x": {"type": "float", "low": 0.1, "high": 1} | range_}}


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        (JobSpec, _space(log="yes"), "true or false is expected here, not the text 'yes'"),
        (JobSpec, _space(log=1), "true or false is expected here, not 1"),
        (JobSpec, _space(log=0.0), "true or false is expected here, not 0.0"),
        (JobSpec, _space(low="1e-3"), "a number is expected here, not the text '1e-3'"),
        (JobSpec, _space(low=False), "a number is expected here, not false"),
        (JobSpec, {"trainer": TRAINER, "priority": "3"}, "a whole number is expected here, not the text '3'"),
        (JobSpec, {"trainer": TRAINER, "budget": {"max_trials": True}}, "a whole number is expected here, not true"),
        (JobSpec, {"trainer": TRAINER, "budget": {"timeout_s": "60"}}, "a number is expected here"),
        (JobSpec, {"trainer": TRAINER, "sampler": {"name": "tpe", "seed": "0"}}, "a whole number is expected here"),
        (JobSpec, {"trainer": TRAINER, "pruner": {"name": "asha", "min_resource": "1"}}, "a whole number"),
        (JobSpec, {"trainer": TRAINER, "stop_when": {"terminator": "off"}}, "true or false is expected here"),
        (JobSpec, {"trainer": TRAINER, "name": 5}, "valid string"),
        *(
            (JobSpec, {"trainer": TRAINER, "resources": {"fuse": fuse}}, '"auto" or a whole number from 1 to 256')
            for fuse in ("8", "Auto", 0, 257, 2.5, True, None, [8], {"n": 8}, float("inf"), float("nan"))
        ),
        (JobPatch, {"budget": {"max_trials": "50"}}, "a whole number is expected here"),
        (RangeTestSpec, {"trainer": TRAINER, "batch_sizes": [32, "64"]}, "a whole number is expected here"),
        (RangeTestSpec, {"trainer": TRAINER, "seeds": 2.5}, "valid integer"),
    ],
)
def test_a_value_of_another_type_is_refused(model: type[Spec], body: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    (wrong,) = caught.value.errors()
    assert expected in wrong["msg"]


def test_a_whole_number_may_be_written_as_a_float_and_a_float_as_a_whole_number() -> None:
    spec = JobSpec.model_validate({"trainer": TRAINER, "budget": {"max_trials": 5.0, "timeout_s": 60}, "priority": 2.0})
    assert (spec.budget.max_trials, spec.priority, spec.budget.timeout_s) == (5, 2, 60.0)
    assert type(spec.budget.max_trials) is int


@pytest.mark.parametrize("seconds", [5e-324, 1e-9, 0.0, -1.0, 1e300])
@pytest.mark.parametrize("name", ["timeout_s", "trial_timeout_s", "stall_timeout_s", "max_gpu_seconds"])
def test_a_limit_in_which_nothing_can_happen_is_refused(name: str, seconds: float) -> None:
    for body, model in (
        ({"trainer": TRAINER, "budget": {name: seconds}}, JobSpec),
        ({"budget": {name: seconds}}, JobPatch),
    ):
        with pytest.raises(ValidationError, match=r"greater than or equal to 0\.01|less than or equal to 1"):
            model.model_validate(body)
