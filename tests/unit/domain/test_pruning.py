"""Pruners that the first trials of a job leave nothing to judge."""

import pytest
from pydantic import TypeAdapter

from stepsize.domain.pruning import why_idle
from stepsize.spec.pruners import Pruner

_PRUNER: TypeAdapter[Pruner] = TypeAdapter(Pruner)


@pytest.mark.parametrize(
    ("pruner", "steps", "said"),
    [
        ({"name": "asha"}, [1, 1, 1], "reported loss at step 1 alone, and a pruner needs reports before a trial's end"),
        ({"name": "median"}, [500, 500], "reported loss at step 500 alone"),
        ({"name": "median"}, [0, 0], "reported loss at step 0 alone"),
        ({"name": "median", "n_warmup_steps": 3}, [1, 2, 3, 1, 2, 3], "reported loss at step 3 alone"),
        ({"name": "patient"}, [1, 2, 3], "is at step 5, and the first 5 to complete reported loss up to step 3"),
        ({"name": "hyperband", "min_resource": 9}, [1, 8], "first verdict is at step 9"),
        ({"name": "asha"}, [], "reported no loss before their end"),
        ({"name": "asha"}, [1, 1, 2], None),
        ({"name": "median"}, [0, 1], None),
        ({"name": "threshold", "upper": 1.0}, [1, 1], None),
        ({"name": "threshold", "upper": 1.0}, [0], None),
        ({"name": "patient"}, [4, 5], None),
    ],
)  # fmt: skip
def test_a_pruner_with_nothing_to_judge_is_told(pruner: dict[str, object], steps: list[int], said: str | None) -> None:
    told = why_idle(_PRUNER.validate_python(pruner), "loss", steps)
    assert told is None if said is None else said in (told or "")
