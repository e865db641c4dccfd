"""A trial's page shows what its trainer drew."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.e2e.dashboard.site import Site

OpenPage = Callable[..., Page]
HARMLESS = {"learning_rate": {"type": "float", "low": 0.005, "high": 0.01}}
REGRESSOR = {"name": "tabular_regressor", "params": {"epochs": 2}}


def test_a_trials_page_shows_its_pictures(site: Site, open_page: OpenPage) -> None:
    job_id = site.submit(trainer=REGRESSOR, search_space=HARMLESS, budget={"max_trials": 1})
    site.finish(job_id, timeout_s=120)
    assert "residuals.figure.svg" in site.trial(job_id, 0)["artifacts"]
    page = open_page(f"#/jobs/{job_id}/trials/0")
    picture = page.get_by_role("img", name="residuals")
    expect(picture).to_be_visible()
    # Loaded and drawn, not only asked for.
    page.wait_for_function("document.querySelector('.figures img').naturalWidth > 0")
    expect(page.locator("figcaption")).to_have_text("residuals")
