"""`Accept`, and answers that are kept for a moment."""

import time

import pytest
from starlette.exceptions import HTTPException

from stepsize.api.negotiation import preferred_type
from stepsize.api.recent import Recent

OFFERED = ["application/json", "text/markdown", "text/html"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/markdown"),
        ("text/html", "text/html"),
        ("text/html;q=0.2, text/markdown;q=0.9", "text/markdown"),
        ("*/*;q=0.1, text/html", "text/html"),
        ("application/json;q=0, */*", "text/markdown"),
        ("TEXT/HTML ; Q=1", "text/html"),
    ],
)
def test_the_form_liked_best_is_chosen(accept: str, expected: str) -> None:
    assert preferred_type(accept, OFFERED) == expected


@pytest.mark.parametrize("accept", ["image/png", "text/html;q=0", "text/html;q=nonsense"])
def test_nothing_acceptable_is_406(accept: str) -> None:
    with pytest.raises(HTTPException) as refusal:
        preferred_type(accept, OFFERED)
    assert refusal.value.status_code == 406


class _Source:
    """Answers that count how often they were made."""

    def __init__(self) -> None:
        self.now = 0.0
        self.n_made = 0
        self.change = 1

    def make(self) -> tuple[bytes, int]:
        self.n_made += 1
        return b"%d" % self.n_made, self.change


def test_an_answer_is_kept_while_the_job_has_not_changed() -> None:
    source = _Source()
    recent = Recent(fresh_s=0.5, clock=lambda: source.now)
    recent.get("key", 1, source.make)
    source.now = 100.0

    assert recent.get("key", 1, source.make).body == b"1"


def test_an_answer_about_a_changed_job_is_made_anew_after_a_moment() -> None:
    source = _Source()
    recent = Recent(fresh_s=0.5, clock=lambda: source.now)
    recent.get("key", 1, source.make)
    source.change = 2

    assert recent.get("key", 2, source.make).body == b"1", "half a second old at most"
    source.now = 0.6
    assert recent.get("key", 2, source.make).body == b"2"


def test_of_a_job_at_rest_only_the_last_word_will_do() -> None:
    source = _Source()
    recent = Recent(fresh_s=0.5, clock=lambda: source.now)
    recent.get("key", 1, source.make)
    source.change = 2

    assert recent.get("key", 2, source.make, is_settled=True).body == b"2"


def test_what_takes_long_to_make_is_kept_for_longer() -> None:
    source = _Source()
    recent = Recent(fresh_s=0.5, clock=lambda: source.now)

    def make_slowly() -> tuple[bytes, int]:
        until = time.thread_time() + 0.04
        while time.thread_time() < until:
            pass
        return source.make()

    recent.get("key", 1, make_slowly)
    source.change, source.now = 2, 1.9  # 0.04 s of a core once in 2 s

    assert recent.get("key", 2, make_slowly).body == b"1"
    source.now = 11.0
    assert recent.get("key", 2, make_slowly).body == b"2"
