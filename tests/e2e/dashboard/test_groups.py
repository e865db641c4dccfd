"""Trials that train as one: which, where, why, and how each goes."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.site import Site
from tests.waiting import wait_for

OpenPage = Callable[..., Page]
PATIENCE_S = 240.0
"""A slot's first training loads torch, which takes seconds of a core."""
RATES = {"learning_rate": {"type": "float", "low": 1e-3, "high": 1e-2, "log": True}}


def submit(site: Site, *, n: int, fuse: int | str, epochs: int) -> str:
    params: dict[str, Any] = {"epochs": epochs, "batch_size": 64}
    return site.submit(
        trainer={"name": "tabular_classifier", "params": params},
        search_space=RATES,
        budget={"max_trials": n},
        resources={"fuse": fuse},
    )


@pytest.mark.slow
def test_a_group_is_seen_in_the_list_on_a_trials_page_and_where_it_runs(site: Site, open_page: OpenPage) -> None:
    job_id = submit(site, n=3, fuse=3, epochs=100_000)
    try:
        wait_for(lambda: all((site.trial(job_id, n).get("step") or 0) > 1 for n in range(3)), timeout_s=PATIENCE_S)
        workers = open_page("#/workers")
        slot = workers.locator(".slot.busy")
        expect(slot).to_have_count(1)
        expect(slot).to_contain_text("as one: its shape")
        assert slot.evaluate("box => box.scrollWidth <= box.clientWidth"), "its words stay inside"
        for number in range(3):
            expect(slot.get_by_role("link", name=str(number), exact=True)).to_be_visible()

        trial = open_page(f"#/jobs/{job_id}/trials/1")
        card = trial.locator(".card", has=trial.get_by_role("heading", name="Trained as one"))
        expect(card.get_by_role("link")).to_have_text(["0", "1", "2"])
        expect(card.get_by_role("img")).to_be_visible()
        expect(trial.get_by_text("3 when it came")).to_be_visible()

        trials = open_page(f"#/jobs/{job_id}/trials")
        expect(trials.get_by_role("columnheader", name="Group")).to_be_visible()
    finally:
        site.http.post(f"/v1/jobs/{job_id}/cancel")
        site.finish(job_id)


@pytest.mark.slow
def test_what_was_measured_stands_on_the_trial(site: Site, open_page: OpenPage) -> None:
    job_id = submit(site, n=4, fuse="auto", epochs=2)
    site.finish(job_id, timeout_s=PATIENCE_S)
    group = site.trial(job_id, 0)["group"]
    assert group["how"] in ("fused", "alone")
    assert group["why"].startswith("measured: 1 trial makes")
    page = open_page(f"#/jobs/{job_id}/trials/0")
    expect(page.get_by_text(group["why"])).to_be_visible()
