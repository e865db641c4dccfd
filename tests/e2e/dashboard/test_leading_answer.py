"""The answer is seen first, and what is a guess looks like one."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.dashboard.site import Site
from tests.e2e.dashboard.test_accessibility import AXE, serious_findings, settle

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def answer(site: Site, finished_job: str) -> dict[str, Any]:
    """What the report of the finished job answers."""
    found: dict[str, Any] = site.http.get(f"/v1/jobs/{finished_job}/report", timeout=60).json()["answer"]
    assert found["learning_rate"]["value"] is not None, "the scene needs a job with an answer"
    return found


def answer_with(page: Page, job_id: str, answer: dict[str, Any] | None) -> None:
    """Let the service say that answer of a job."""

    def change(route: Route) -> None:
        document = route.fetch().json()
        for job in document.get("items", [document]):
            if job["id"] == job_id:
                job["answer"] = answer
        route.fulfill(json=document)

    page.route(f"**/v1/jobs/{job_id}", change)
    page.route("**/v1/jobs?*", change)


def open_with(open_page: OpenPage, site: Site, job_id: str, answer: dict[str, Any] | None, **options: Any) -> Page:
    page = open_page("#/workers", reduced_motion="reduce", **options)
    answer_with(page, job_id, answer)
    page.goto(f"{site.url}/#/jobs/{job_id}")
    settle(page)
    return page


def test_the_overview_leads_with_the_answer_and_its_valley(
    site: Site, finished_job: str, answer: dict[str, Any], open_page: OpenPage
) -> None:
    page = open_with(open_page, site, finished_job, answer)
    card = page.get_by_role("region", name="Answer")
    expect(card).to_contain_text(answer["sentence"])
    expect(card.get_by_role("img", name="The valley:")).to_be_visible()
    best = page.get_by_role("region", name="Best trial")
    top, below = card.bounding_box(), best.bounding_box()
    assert top
    assert below
    assert top["y"] + top["height"] <= below["y"], "the best trial stands second"
    page.evaluate(AXE)
    assert serious_findings(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    page.goto(f"{site.url}/#/jobs")
    row = page.locator("tbody tr").filter(has=page.locator(f"a[href='#/jobs/{finished_job}']"))
    expect(row.locator(".short-answer")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_job_without_an_answer_is_shown_as_ever(site: Site, finished_job: str, open_page: OpenPage) -> None:
    page = open_with(open_page, site, finished_job, None)
    expect(page.get_by_role("region", name="Best trial")).to_be_visible()
    expect(page.get_by_role("region", name="Answer")).to_have_count(0)


def test_a_guess_looks_different_and_says_why_on_touch_and_paper(
    site: Site, finished_job: str, answer: dict[str, Any], open_page: OpenPage
) -> None:
    guess = {**answer["learning_rate"], "is_guess": True, "caveat": "extrapolated from 2 trials"}
    page = open_with(open_page, site, finished_job, {**answer, "words": "low", "learning_rate": guess})
    page.emulate_media(media="print")
    rate = page.get_by_role("region", name="Answer").locator(".guess")
    expect(rate).to_contain_text("guess")
    expect(rate.get_by_text("extrapolated from 2 trials")).to_be_visible()


def test_guesses_in_a_reports_tables_have_their_reasons_below(
    site: Site, finished_job: str, open_page: OpenPage
) -> None:
    page = open_page("#/workers", reduced_motion="reduce")

    def change(route: Route) -> None:
        report = route.fetch().json()
        row = report["by_batch_size"]["rows"][0]
        row["learning_rate"] |= {"value": 0.02, "low": 0.01, "high": 0.04, "is_guess": True, "caveat": "only 2 trials"}
        route.fulfill(body=json.dumps(report), content_type="application/json")

    page.route(f"**/v1/jobs/{finished_job}/report", change)
    page.goto(f"{site.url}/#/jobs/{finished_job}/report")
    table = page.get_by_role("region", name="Results by batch size")
    expect(table.locator("tbody tr").first.locator(".guess").first).to_contain_text("guess")
    expect(table.locator(".notes")).to_contain_text("only 2 trials")
    expect(page.get_by_text("Hollow and dotted: guesses")).to_be_visible()
    page.evaluate(AXE)
    assert serious_findings(page) == []


def test_a_best_trial_that_was_checked_shows_the_mean_of_its_trainings(
    site: Site, finished_job: str, open_page: OpenPage
) -> None:
    (best,) = site.http.get(f"/v1/jobs/{finished_job}/best").json()["items"]
    assert best["replicates"]["n"] > 1, "the scene needs a job whose answer was checked"
    mean = best["replicates"]["mean"]["value"]
    tile = open_page(f"#/jobs/{finished_job}").get_by_role("region", name="Best trial")

    expect(tile).to_contain_text(f"Best by the mean of {best['replicates']['n']} trainings: ")
    shown = float(tile.get_by_test_id("best-value").inner_text())
    assert shown == pytest.approx(mean, rel=0.005), "three digits"
