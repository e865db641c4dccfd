"""`Accept`, and answers that are kept for a moment."""

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
