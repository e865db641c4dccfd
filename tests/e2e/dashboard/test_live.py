"""The page moves by itself."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from tests.e2e.dashboard.site import SLOW, Site
from tests.waiting import wait_for

OpenPage = Callable[..., Page]
MARK = "window.neverReloaded = true"
IS_MARKED = "window.neverReloaded === true"
N_ENDED = "parseInt(document.querySelector('[data-testid=progress]').textContent)"


def wait_for_progress(page: Page) -> None:
    """Wait until more trials have ended than now, by what the page says."""
    expect(page.get_by_test_id("progress")).to_be_visible()
    before = page.evaluate(N_ENDED)
    # Not Playwright's wait_for_function: it evaluates a string in the page, which the page's policy forbids.
    wait_for(lambda: page.evaluate(N_ENDED) > before)


def test_a_running_job_moves_without_a_reload(site: Site, open_page: OpenPage) -> None:
    job_id = site.submit(name="live", trainer=SLOW)
    page = open_page(f"#/jobs/{job_id}")
    page.evaluate(MARK)

    expect(page.locator(".live")).to_have_text("live")
    wait_for_progress(page)
    expect(page.get_by_test_id("best-value")).to_be_visible()
    expect(page.get_by_role("img", name="History of the search")).to_be_visible()
    page.get_by_role("link", name="Trials").click()
    expect(page.locator("tbody .badge.running").first).to_be_visible()
    first = page.locator("tbody a").first.inner_text()
    expect(page.locator("tbody a").first).not_to_have_text(first)
    page.get_by_role("link", name="Jobs", exact=True).first.click()
    row = page.locator("tbody tr", has_text="live")
    seen = row.locator(".progress-cell").inner_text()
    expect(row.locator(".progress-cell")).not_to_have_text(seen)
    assert page.evaluate(IS_MARKED)
    site.cancel(job_id)


def test_a_list_of_jobs_moves_by_its_stream_and_is_not_read_again_and_again(site: Site, open_page: OpenPage) -> None:
    job_id = site.submit(name="told", trainer=SLOW)
    wait_for(lambda: site.job(job_id)["state"] == "running")
    page = open_page("#/jobs")
    cell = page.locator("tbody tr", has_text="told").locator(".progress-cell")
    expect(cell).to_be_visible()
    page.wait_for_timeout(3000)  # the stream has begun, and the list was read once more
    lists: list[str] = []
    page.on("request", lambda request: lists.append(request.url) if "/v1/jobs?" in request.url else None)
    for _ in range(3):
        seen = cell.inner_text()
        expect(cell).not_to_have_text(seen, timeout=20_000)
    assert len(lists) <= 1, "once for a job of another test at most"
    site.cancel(job_id)
    expect(page.locator("tbody tr", has_text="told").locator(".badge")).to_contain_text("cancelled")


def test_a_trial_is_drawn_while_it_trains(site: Site, open_page: OpenPage) -> None:
    trainer = {"name": "synthetic", "params": {"n_reports": 1000, "step_s": 0.1}}
    job_id = site.submit(trainer=trainer, budget={"max_trials": 1})
    wait_for(lambda: site.job(job_id)["progress"]["counts"]["running"] == 1)
    page = open_page(f"#/jobs/{job_id}/trials/0")

    expect(page.locator(".page-head .badge")).to_have_text("running")
    expect(page.get_by_role("img", name="loss by step")).to_be_visible()
    step = page.locator("dt", has_text=re.compile("^step$")).locator("xpath=following-sibling::dd")
    seen = step.inner_text()
    expect(step).not_to_have_text(seen)
    page.get_by_role("button", name="Cancel trial").click()
    expect(page.locator(".page-head .badge")).to_contain_text("cancelled")
    site.cancel(job_id)


def test_a_finished_job_says_so(site: Site, finished_job: str, open_page: OpenPage) -> None:
    page = open_page(f"#/jobs/{finished_job}")
    expect(page.locator(".live")).to_have_text("finished")


def test_a_page_nobody_sees_lets_its_stream_go(site: Site, open_page: OpenPage) -> None:
    hide = """(isHidden) => {
      Object.defineProperty(document, "hidden", {value: isHidden, configurable: true});
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    job_id = site.submit(trainer=SLOW)
    page = open_page(f"#/jobs/{job_id}")
    expect(page.locator(".live")).to_have_text("live")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
        page.evaluate(hide, True)
    with page.expect_request("**/events"):
        page.evaluate(hide, False)
    wait_for_progress(page)
    site.cancel(job_id)


def test_a_job_deleted_under_the_page_is_said(site: Site, open_page: OpenPage, complaints: list[str]) -> None:
    job_id = site.submit(name="short-lived", trainer=SLOW)
    page = open_page(f"#/jobs/{job_id}")
    expect(page.locator(".live")).to_have_text("live")
    site.cancel(job_id)
    site.http.delete(f"/v1/jobs/{job_id}")
    expect(page.get_by_role("heading", name="This job has been deleted")).to_be_visible()
    complaints.clear()  # the browser notes each 404


def test_slots_tell_apart_what_they_run_of_jobs_submitted_together(site: Site, open_page: OpenPage) -> None:
    trainer = {"name": "synthetic", "params": {"n_reports": 1000, "step_s": 0.15}}
    ids = [site.submit(trainer=trainer, budget={"max_parallel_trials": 1}) for _ in range(2)]
    try:
        page = open_page("#/workers")
        for job_id in ids:
            expect(page.locator(".slot.busy", has_text=job_id)).to_have_count(1)
    finally:
        for job_id in ids:
            site.cancel(job_id)


def test_a_job_is_awaited_while_the_service_is_away(
    site: Site, finished_job: str, open_page: OpenPage, complaints: list[str]
) -> None:
    page = open_page("#/workers")
    page.route("**/v1/jobs/**", lambda route: route.abort())
    page.goto(f"{site.url}/#/jobs/{finished_job}")
    expect(page.get_by_role("alert")).to_contain_text("stepsize up")
    page.unroute("**/v1/jobs/**")
    expect(page.get_by_role("heading", name="finished")).to_be_visible()
    complaints.clear()  # the browser notes each refused request


def test_polling_goes_on_where_streams_do_not_get_through(
    site: Site, open_page: OpenPage, complaints: list[str]
) -> None:
    def refuse(route: Route) -> None:
        route.abort()

    job_id = site.submit(trainer=SLOW)
    page = open_page("#/workers")
    page.route("**/events", refuse)
    page.goto(f"{site.url}/#/jobs/{job_id}")

    expect(page.locator(".live")).to_have_text("polling")
    wait_for_progress(page)
    page.close()  # or it would try, and complain, again
    assert all("ERR_FAILED" in complaint for complaint in complaints), complaints
    complaints.clear()
    site.cancel(job_id)
