"""Everyone can use it: screen readers, keyboards, phones, dark rooms."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.site import SLOW, Site

OpenPage = Callable[..., Page]
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Until the page before is gone."""
AXE = (Path(__file__).parent / "axe.min.js").read_text()
PAGES = [
    "#/jobs",
    "#/jobs?q=nothing-like-that",
    "#/jobs/{running}",
    "#/jobs/{finished}",
    "#/jobs/{front}",
    "#/jobs/{finished}/trials",
    "#/jobs/{finished}/report",
    "#/jobs/{finished}/spec",
    "#/jobs/{finished}/trials/0",
    "#/compare?jobs={finished},{running}",
    "#/datasets",
    "#/workers",
    "#/range-tests",
    "#/range-tests/{range_test}",
    "#/new",
]


@pytest.fixture(scope="module")
def ids(site: Site, finished_job: str, front_job: str, range_test: str) -> Iterator[dict[str, str]]:
    """A running job, a finished one, one with several objectives, and a range test."""
    running = site.submit(name="running", trainer=SLOW, budget={"max_trials": 1000})
    yield {"running": running, "finished": finished_job, "front": front_job, "range_test": range_test}
    site.cancel(running)


def settle(page: Page) -> None:
    """Wait until what the page loads first is there."""
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator(".skeleton")).to_have_count(0)


def serious_findings(page: Page, rules: str | None = None) -> list[str]:
    found = page.evaluate(
        """async (rules) => (await axe.run({resultTypes: ["violations"], ...(rules && {runOnly: rules})})).violations
             .filter((one) => ["serious", "critical"].includes(one.impact))
             .map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ")).slice(0, 3).join("; ")}`)""",
        rules,
    )
    return list(found)


@pytest.mark.slow
def test_every_page_suits_screen_readers_dark_rooms_and_phones(
    site: Site, ids: dict[str, str], open_page: OpenPage
) -> None:
    page = open_page("#/jobs", color_scheme="light", reduced_motion="reduce")
    page.evaluate(AXE)
    found: dict[str, list[str]] = {}
    for address in PAGES:  # one visit to all: loading the page and axe each time takes longer than the checks
        page.goto(f"{site.url}/{address.format(**ids)}")
        page.evaluate(DRAWN)
        settle(page)
        found[address] = serious_findings(page)

        page.get_by_role("button", name="Switch to dark colours").click()
        # Dark differs in its colours alone.
        found[f"{address} in the dark"] = serious_findings(page, "color-contrast")
        page.get_by_role("button", name="Switch to light colours").click()

        page.set_viewport_size({"width": 360, "height": 740})
        width = page.evaluate("document.documentElement.scrollWidth")
        found[f"{address} on a phone"] = [f"scrolls sideways: {width} px"] if width > 360 else []
        page.set_viewport_size({"width": 1280, "height": 900})
    assert {place: findings for place, findings in found.items() if findings} == {}


def test_the_theme_follows_the_system_until_one_is_chosen(open_page: OpenPage) -> None:
    page = open_page("#/jobs", color_scheme="dark")
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.emulate_media(color_scheme="light")
    expect(page.get_by_role("button", name="Switch to dark colours")).to_be_visible()
    assert page.evaluate(theme) == "light"
    page.get_by_role("button", name="Switch to dark colours").click()
    page.reload()
    assert page.evaluate(theme) == "dark"


def test_a_job_is_found_paused_and_cancelled_by_keyboard_alone(site: Site, open_page: OpenPage) -> None:
    job_id = site.submit(name="by keyboard", trainer=SLOW, budget={"max_trials": 500})
    page = open_page("#/jobs")
    expect(page.get_by_role("link", name="by keyboard")).to_be_visible()

    tab_to(page, "link", "by keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="by keyboard")).to_be_visible()
    tab_to(page, "button", "Pause")
    page.keyboard.press("Enter")
    expect(page.locator(".page-head .badge")).to_contain_text("paused")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    tab_to(page, "button", "Cancel")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, "button", "Cancel the job")
    page.keyboard.press("Enter")
    expect(page.locator(".page-head .badge")).to_contain_text("cancelled")
    assert site.job(job_id)["state"] == "cancelled"


def test_menus_open_and_close_by_keyboard(finished_job: str, open_page: OpenPage) -> None:
    page = open_page(f"#/jobs/{finished_job}", reduced_motion="reduce")
    settle(page)
    export = page.get_by_role("button", name="Export")
    export.focus()
    page.keyboard.press("Enter")
    expect(export).to_have_attribute("aria-expanded", "true")
    page.evaluate(AXE)
    assert serious_findings(page) == []

    tab_to(page, "link", "history as SVG")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="history as SVG")).to_have_count(0)
    expect(export).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, "button", "Delete")
    expect(export).to_have_attribute("aria-expanded", "false")


def tab_to(page: Page, role: str, name: str) -> None:
    """Press Tab until something has the focus."""
    wanted = page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]  # a Literal of all roles
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"Tab never reaches the {role} {name!r}")
