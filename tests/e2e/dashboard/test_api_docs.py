"""The API's documentation at `/docs`, where a newcomer submits a first job without the internet."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.site import Site

OpenPage = Callable[..., Page]


@pytest.mark.slow  # Swagger UI takes seconds of processor time to lay out a hundred schemas
def test_a_newcomer_submits_a_job_with_two_clicks(site: Site, open_page: OpenPage) -> None:
    page = open_page("docs")

    submit = page.locator(".opblock-post", has_text="Submit a job").first
    submit.locator(".opblock-summary-control").click()
    submit.get_by_role("button", name="Execute").click()

    expect(submit.locator(".live-responses-table tbody .response-col_status")).to_contain_text("201")
    requested = page.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert requested
    assert [url for url in requested if not url.startswith(site.url)] == []
    newest = site.http.get("/v1/jobs", params={"limit": 1}).json()["items"][0]
    assert newest["spec"]["trainer"]["name"] == "synthetic"
    site.cancel(newest["id"])
