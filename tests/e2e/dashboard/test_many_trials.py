"""Ten thousand trials are as quick as ten: the server sorts, filters and thins, the page shows what is seen."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.e2e.dashboard.site import Site

OpenPage = Callable[..., Page]
LIMIT_MS = 200.0
"""What still feels immediate: from the click to the paint that answers it."""
ROWS_LIMIT_MS = 2000.0
"""Until the server's rows are there: ten times what it takes, for machines that do other things too."""
TRIES = 8
"""The best counts: one try says more about what else the machine does."""

# Clicks, and waits until what `read` reads has changed and is painted.
_TIME_CLICK = """
([selector, read]) => new Promise((resolve) => {
  const reading = {
    rows: () => document.querySelector("tbody tr").innerText,
    heading: () => document.querySelector("th[aria-sort]").innerText,
    tab: () => document.querySelector(".tabs [aria-current]").innerText,
  }[read];
  const [before, begun] = [reading(), performance.now()];
  const done = () => resolve(performance.now() - begun);
  const look = () => requestAnimationFrame(reading() === before ? look : done);
  document.querySelector(selector).click();
  requestAnimationFrame(look);
})
"""
_NEXT = ".pager button:last-child"
_LOSS = "th:nth-child(3) button"
_RATE = "th:nth-child(4) button"
_OVERVIEW = ".tabs a:first-child"
_SPEC = ".tabs a:last-child"


def best_ms(page: Page, selectors: list[str], *, read: str) -> float:
    """Click each of some things in turn, a few times; return the time of the quickest in the slowest place."""
    spent = [[page.evaluate(_TIME_CLICK, [selector, read]) for selector in selectors] for _ in range(TRIES)]
    return float(max(map(min, zip(*spent, strict=True))))


def test_sorting_and_paging_ten_thousand_trials_is_immediate(open_page: OpenPage, large_job: str) -> None:
    page = open_page(f"#/jobs/{large_job}/trials")
    expect(page.locator("tbody tr")).to_have_count(50)

    assert best_ms(page, [_NEXT], read="rows") < ROWS_LIMIT_MS
    assert best_ms(page, [_LOSS, _RATE], read="heading") < LIMIT_MS
    assert best_ms(page, [_LOSS, _RATE], read="rows") < ROWS_LIMIT_MS
    assert page.locator("tbody tr").count() == 50, "only what is seen is sent"


def test_tabs_of_ten_thousand_trials_open_at_once(site: Site, open_page: OpenPage, large_job: str) -> None:
    page = open_page(f"#/jobs/{large_job}/spec")
    expect(page.get_by_role("heading", name="Specification")).to_be_visible()
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(int(response.headers.get("content-length", "0"))))
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_role("img", name="History of the search: 10000 finished trials")).to_be_visible()

    assert best_ms(page, [_SPEC, _OVERVIEW], read="tab") < LIMIT_MS
    assert max(sizes) < 200_000, "the history is thinned by the server"


def test_a_live_job_of_ten_thousand_trials_answers_at_once(site: Site, open_page: OpenPage, large_job: str) -> None:
    site.http.post(f"/v1/jobs/{large_job}/resume")
    page = open_page(f"#/jobs/{large_job}/trials?sort=values.loss")
    expect(page.locator(".live")).to_have_text("live")
    expect(page.get_by_test_id("progress")).not_to_contain_text("10\u202f000 of")

    assert best_ms(page, [_LOSS, _RATE], read="heading") < LIMIT_MS
    site.http.post(f"/v1/jobs/{large_job}/pause")


def test_trials_are_filtered_by_the_server(open_page: OpenPage, large_job: str) -> None:
    page = open_page(f"#/jobs/{large_job}/trials")
    page.get_by_role("searchbox", name="Filter").fill("params.batch_size=64, values.loss<0.02")
    page.get_by_role("button", name="Filter").click()
    batches = page.locator("tbody td:nth-child(5)")
    expect(batches.first).to_have_text("64")
    expect(page).to_have_url(re.compile("filter=params.batch_size"))  # so the view can be shared by its address
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    assert set(batches.all_inner_texts()) == {"64"}
    losses = [float(loss.replace("−", "-")) for loss in page.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert max(losses) <= 0.02
    page.get_by_label("State").select_option("failed")
    expect(page.get_by_role("heading", name="No trial like that")).to_be_visible()


def test_a_wrong_filter_is_explained(open_page: OpenPage, large_job: str, complaints: list[str]) -> None:
    page = open_page(f"#/jobs/{large_job}/trials")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("searchbox", name="Filter").fill("learning_rate>1")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("alert")).to_contain_text("trials have no field 'learning_rate'")
    expect(page.locator("tbody tr")).to_have_count(50)
    complaints.clear()  # the browser notes the 422
