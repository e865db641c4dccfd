"""The list of jobs: what is looked for is found wherever it stands."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.dashboard.site import Site

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def marked(site: Site) -> list[str]:
    """Three short jobs with a label of their own, oldest first."""
    jobs = [site.submit(name=f"marked {n}", labels={"mark": "here"}, budget={"max_trials": 1}) for n in range(3)]
    for job_id in jobs:
        site.finish(job_id)
    return jobs


def small_pages(page: Page) -> None:
    """Let the service answer with two jobs a page, so that few jobs are many pages."""

    def ask_for_less(route: Route) -> None:
        route.continue_(url=re.sub(r"limit=\d+", "limit=2", route.request.url))

    page.route("**/v1/jobs?*limit=*", ask_for_less)


def test_labels_and_trainers_are_looked_for_by_the_service(marked: list[str], open_page: OpenPage) -> None:
    page = open_page("#/workers")
    small_pages(page)
    page.get_by_role("link", name="Jobs", exact=True).click()
    search = page.get_by_role("searchbox", name="Find jobs")
    with page.expect_request(lambda request: "label=mark%3Ahere" in request.url and "trainer=synthetic" in request.url):
        search.fill("mark:here trainer:synthetic")
    names = page.locator(".job-name > a")
    expect(names).to_have_text(["marked 2", "marked 1"])

    page.get_by_role("button", name="Next").click()
    expect(names).to_have_text(["marked 0"])
    page.get_by_role("button", name="Previous").click()
    expect(names).to_have_text(["marked 2", "marked 1"])
    search.fill("mark:nowhere")
    expect(page.get_by_role("heading", name="No job like that")).to_be_visible()


def test_a_name_and_an_id_are_found_beyond_the_first_page(site: Site, marked: list[str], open_page: OpenPage) -> None:
    for n in range(2):
        site.submit(name=f"newer {n}", budget={"max_trials": 1})
    page = open_page("#/workers")
    small_pages(page)
    page.get_by_role("link", name="Jobs", exact=True).click()
    search = page.get_by_role("searchbox", name="Find jobs")
    names = page.locator(".job-name > a")
    for text in ("marked 0", marked[0]):
        search.fill(text)
        expect(names).to_have_text(["marked 0"])
    search.fill("arked")  # no whole name: looked for in what each page holds
    expect(page.get_by_role("heading", name="None among these")).to_be_visible()
    page.get_by_role("button", name="Look through older ones").click()
    expect(names).to_contain_text(["marked"])


def test_a_job_that_came_to_nothing_says_of_what_and_so_does_each_of_its_trials(
    site: Site, open_page: OpenPage
) -> None:
    trainer = {"name": "synthetic", "params": {"oom_above_batch": 16, "batch_size": 64}}
    space = {"learning_rate": {"type": "float", "low": 1e-3, "high": 1.0, "log": True}}
    job_id = site.submit(name="too large", trainer=trainer, search_space=space, budget={"max_trials": 2})
    site.finish(job_id)
    page = open_page(f"#/jobs/{job_id}")
    problem = page.locator(".problem")
    expect(problem).to_contain_text("No trial was feasible")
    expect(problem).to_contain_text("a batch of 64 does not fit")
    problem.get_by_role("link", name="See the infeasible trials").click()
    expect(page.locator("td .words").first).to_contain_text("does not fit")
