"""Every control does what it says, judged by the service."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.site import SLOW, Site
from tests.waiting import wait_for

OpenPage = Callable[..., Page]


@pytest.fixture
def job_id(site: Site) -> Iterator[str]:
    """A job of many slow trials; it is over after the test."""
    submitted = site.submit(name="controlled", trainer=SLOW, budget={"max_trials": 500})
    yield submitted
    if site.http.get(f"/v1/jobs/{submitted}").is_success:
        site.cancel(submitted)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def state_of(page: Page) -> str:
    return page.locator(".page-head .badge").inner_text()


def test_pause_and_resume(site: Site, job_id: str, open_page: OpenPage) -> None:
    page = open_page(f"#/jobs/{job_id}")
    press(page, "Pause")
    expect(page.locator(".page-head .badge")).to_contain_text("paused")
    assert site.job(job_id)["state"] == "paused"

    press(page, "Resume")
    expect(page.locator(".page-head .badge")).to_contain_text("running")
    assert site.job(job_id)["desired"] == "run"


def test_stop_lets_running_trials_finish(site: Site, job_id: str, open_page: OpenPage) -> None:
    page = open_page(f"#/jobs/{job_id}")
    expect(page.locator(".page-head .badge")).to_contain_text("running")
    press(page, "Stop")
    expect(page.locator(".page-head .badge")).to_contain_text("completed")
    expect(page.locator(".page-head .badge")).to_contain_text("by you")
    assert site.job(job_id)["progress"]["counts"]["cancelled"] == 0


def test_cancel_asks_first_and_delete_removes(site: Site, job_id: str, open_page: OpenPage) -> None:
    page = open_page(f"#/jobs/{job_id}")
    press(page, "Cancel")
    press(page, "Keep it running")
    assert site.job(job_id)["desired"] == "run"
    press(page, "Cancel")
    press(page, "Cancel the job")
    expect(page.locator(".page-head .badge")).to_contain_text("cancelled")

    press(page, "Delete")
    press(page, "Delete for ever")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    assert site.http.get(f"/v1/jobs/{job_id}").status_code == 404


def test_a_configuration_is_enqueued(site: Site, job_id: str, open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page(f"#/jobs/{job_id}")
    press(page, "Enqueue")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("learning_rate").fill("7")
    dialog.get_by_role("button", name="Enqueue").click()
    expect(dialog.get_by_role("alert")).to_contain_text("learning_rate")

    dialog.get_by_label("learning_rate").fill("0.0123")
    dialog.get_by_label("batch_size").fill("64")
    dialog.get_by_role("button", name="Enqueue").click()
    expect(dialog).to_have_count(0)
    enqueued = {"filter": ["params.learning_rate=0.0123", "params.batch_size=64"]}
    assert len(site.http.get(f"/v1/jobs/{job_id}/trials", params=enqueued).json()["items"]) == 1
    complaints.clear()  # the browser notes the 422


def test_one_trial_is_cancelled_and_retried(site: Site, job_id: str, open_page: OpenPage) -> None:
    wait_for(lambda: site.job(job_id)["progress"]["counts"]["running"] > 0)
    site.http.post(f"/v1/jobs/{job_id}/pause")
    wait_for(lambda: site.job(job_id)["state"] == "paused")
    made = site.http.post(f"/v1/jobs/{job_id}/trials", json={"params": {"learning_rate": 0.5}}).json()
    page = open_page(f"#/jobs/{job_id}/trials/{made['number']}")

    press(page, "Cancel trial")
    expect(page.locator(".page-head .badge")).to_contain_text("cancelled")
    press(page, "Retry trial")
    expect(page.locator(".page-head .badge")).to_contain_text("queued")
    assert site.trial(job_id, made["number"])["state"] == "queued"


def test_failed_trials_run_again(site: Site, open_page: OpenPage) -> None:
    trainer = {"name": "synthetic", "params": {"crash_probability": 1.0}}
    budget = {"max_trials": 1, "max_attempts": 1, "max_failed_trials": 1}
    job_id = site.submit(trainer=trainer, budget=budget)
    site.finish(job_id)
    before = site.job(job_id)["revision"]
    page = open_page(f"#/jobs/{job_id}")
    press(page, "Retry failed")
    wait_for(lambda: site.job(job_id)["revision"] > before)
    site.finish(job_id)


def test_a_refused_control_says_why(site: Site, job_id: str, open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page(f"#/jobs/{job_id}")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.route(
        "**/pause",
        lambda route: route.fulfill(
            status=409,
            content_type="application/problem+json",
            body='{"title": "State conflict", "status": 409, "detail": "a completed job can\'t be paused"}',
        ),
    )
    press(page, "Pause")
    expect(page.get_by_role("alert")).to_contain_text("a completed job can't be paused")
    complaints.clear()  # the browser notes the 409
