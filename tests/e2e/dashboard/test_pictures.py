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


def test_a_trials_page_tells_what_was_searched_from_what_its_job_fixes(site: Site, open_page: OpenPage) -> None:
    job_id = site.submit(trainer=REGRESSOR, search_space=HARMLESS, budget={"max_trials": 1})
    site.finish(job_id, timeout_s=120)
    page = open_page(f"#/jobs/{job_id}/trials/0")
    searched, fixed = (page.locator(f"h3:text-is('{name}') + dl") for name in ("Searched", "Fixed by the job"))
    expect(searched.locator("dt")).to_have_text(["learning_rate"])
    expect(fixed.locator("dt:text-is('optimizer') + dd")).to_have_text("sgd")
    expect(fixed.locator("dt:text-is('epochs') + dd")).to_have_text("2")


def test_a_training_that_learned_nothing_says_so_first(site: Site, open_page: OpenPage) -> None:
    trainer = {"name": "image_classifier", "params": {"dataset": "digits", "epochs": 2, "batch_size": 32}}
    far_too_high = {"learning_rate": {"type": "float", "low": 0.9, "high": 1.0}}
    job_id = site.submit(trainer=trainer, search_space=far_too_high, budget={"max_trials": 1}, seeds="shared")
    site.finish(job_id, timeout_s=120)
    trial = site.trial(job_id, 0)
    assert trial["state"] == "completed"
    assert "the learning rate is likely too high" in trial["remark"]
    page = open_page(f"#/jobs/{job_id}/trials/0")
    expect(page.locator(".warning")).to_have_text(trial["remark"])
