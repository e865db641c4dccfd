"""What a slot takes of a trainer: reports, and the end of an attempt (test_out_of_memory.py has more of that)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stepsize_workers.engines.base import Assignment, Outcome, Reported, TrialKey
from stepsize_workers.engines.context import SlotContext
from stepsize_workers.engines.endings import error_of, outcome_of
from stepsize_workers.engines.wire import SlotEnd, Word, open_wire
from stepsize_workers.trainers.base import Diverged, Params


@pytest.mark.parametrize(
    ("exception", "outcome"),
    [
        (MemoryError(), Outcome.OOM),
        (Diverged("exploded", step=1), Outcome.DIVERGED),
        (Diverged(), Outcome.DIVERGED),
        (RuntimeError("shapes differ"), Outcome.ERROR),
        (ValueError("can't allocate memory"), Outcome.ERROR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_that_ends_a_trial_says_how(exception: Exception, outcome: Outcome) -> None:
    assert outcome_of(exception) is outcome


@pytest.mark.parametrize(
    ("exception", "said"),
    [
        (SystemExit(), "SystemExit: its code called sys.exit(); see what it printed before"),
        (SystemExit(3), "SystemExit: its code called sys.exit(3); see what it printed before"),
        (SystemExit("no data"), "SystemExit: no data"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (MemoryError(), "MemoryError"),
    ],
    ids=repr,
)
def test_an_exception_is_told_in_words(exception: BaseException, said: str) -> None:
    assert str(error_of(exception)) == said


class TestReports:
    @pytest.fixture(autouse=True)
    def _setup(self, tmp_path: Path) -> None:
        ours, theirs = open_wire()
        assignment = Assignment(TrialKey("job", 0, 1), "x", {}, 0, tmp_path, tmp_path, waits_for_verdict=False)
        self.worker, self.context = ours, SlotContext(SlotEnd(theirs), assignment, Params(), "cpu")

    def heard(self) -> list[tuple[int, dict[str, float]]]:
        events: list[Word] = []
        while (words := self.worker.receive()) is not None:
            events += words
        return [(event.step, event.values) for event in events if isinstance(event, Reported)]

    def test_scalars_of_any_library_are_numbers(self) -> None:
        step: Any = np.int64(1)
        values: dict[str, Any] = {"a": np.float32(0.5), "b": torch.tensor(2.0), "c": 3}
        self.context.report(step, values)
        assert self.heard() == [(1, {"a": 0.5, "b": 2.0, "c": 3.0})]

    def test_a_picture_is_among_what_is_kept_and_another_is_refused(self) -> None:
        self.context.figure("loss", "<svg>old</svg>")
        self.context.figure("loss", "<svg>new</svg>")
        assert self.context.artifacts() == ("loss.figure.svg",)
        assert self.context.artifact("loss.figure.svg").read_text() == "<svg>new</svg>"
        with pytest.raises(ValueError, match="neither SVG as text"):
            self.context.figure("loss", "no picture")

    def test_only_files_that_can_be_sent_are_kept(self) -> None:
        names = ("loss curve.png", "plots/loss.png", "two\nlines", "turned\u202e")
        for name in names:
            self.context.artifact(name).write_text("a picture")
        self.context.artifact("link").symlink_to(self.context.artifact("loss curve.png"))
        assert self.context.artifacts() == names[:2]

    def test_the_same_report_again_changes_nothing(self) -> None:
        for _ in range(2):
            self.context.report(3, {"loss": 1.0})
        assert self.heard() == [(3, {"loss": 1.0})]

    @pytest.mark.parametrize("spelling", ["NaN", "inf", "-Infinity", "1.#QNAN"])
    def test_text_may_spell_what_json_cant_write(self, spelling: str) -> None:
        values: Any = {"loss": spelling}
        with pytest.raises(Diverged, match=r"loss became (nan|inf|-inf) at step 1"):
            self.context.report(1, values)

    @pytest.mark.parametrize(
        ("step", "values", "words"),
        [
            (3, {"loss": 2.0}, "step 3 was reported after step 3; steps must rise"),
            (2, {"loss": 1.0}, "step 2 was reported after step 3"),
            (3.5, {"loss": 1.0}, "step is 3.5, not a whole number"),
            (4, {"loss": None}, "loss is None, not a number"),
            (4, {"loss": "low"}, "loss is the text 'low', not a number"),
            (4, {"loss": "0.5"}, "loss is the text '0.5', not a number"),
            (4, {"loss": b"0.5"}, "loss is the text b'0.5', not a number"),
            (4, 0.5, r'values is 0.5, not numbers by name such as {"loss": 0.4}'),
            (4, [0.5], r"values is \[0.5\], not numbers by name"),
            (4, dict.fromkeys(map(str, range(1001)), 1.0), "a report has at most 1000 values, not 1001"),
        ],
    )
    def test_a_report_that_makes_no_sense_fails_the_trial(self, step: Any, values: Any, words: str) -> None:
        self.context.report(3, {"loss": 1.0})
        with pytest.raises((TypeError, ValueError), match=words):
            self.context.report(step, values)
