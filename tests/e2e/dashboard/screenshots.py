"""The README's pictures: `make screenshots` runs real jobs and photographs the dashboard into docs/images/."""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e.dashboard.chromium import FLAGS, find_chromium
from tests.e2e.dashboard.site import SLOW, Site, running_site

expect.set_options(timeout=60_000)

IMAGES = Path(__file__).parents[3] / "docs" / "images"
TRAINER = {"name": "image_classifier", "params": {"dataset": "digits", "model": "mlp", "epochs": 4}}
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-3, "high": 3.0, "log": True},
    "batch_size": {"type": "int", "low": 16, "high": 256, "powers_of_two": True},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam"]},
}
DRAWING_MS = 1500
"""Charts are drawn a moment after their data has come."""


def main() -> None:
    """Run the jobs, then take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    path = find_chromium()
    assert path, "no Chromium: run `make chromium`"
    with tempfile.TemporaryDirectory() as folder, running_site(Path(folder)) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        tuned = _run_jobs(site)
        _shoot(browser, site, "jobs", "#/jobs")
        # The report first: its law is then there to be drawn into the map.
        _shoot(browser, site, "report", f"#/jobs/{tuned}/report", theme="dark", height=1100)
        _shoot(browser, site, "job", f"#/jobs/{tuned}", height=1080)
        _shoot(browser, site, "new-job", "#/new")
        _shoot(browser, site, "phone", f"#/jobs/{tuned}", width=390, height=844)
        browser.close()


def _run_jobs(site: Site) -> str:
    """Return the id of the job to look at closely; another one is still running."""
    labels, budget = {"team": "vision"}, {"max_trials": 80}
    tuned = site.submit(
        name="digits-mlp", labels=labels, trainer=TRAINER, search_space=SPACE, sampler={"name": "tpe"}, budget=budget
    )
    pruned = site.submit(
        name="digits-mlp-random",
        labels=labels,
        trainer=TRAINER,
        search_space=SPACE,
        pruner={"name": "median"},
        budget=budget,
    )
    for job_id in (tuned, pruned):
        site.finish(job_id, timeout_s=900)
    site.submit(name="valley", trainer=SLOW, budget={"max_trials": 60})
    return tuned


def _shoot(
    browser: Browser, site: Site, name: str, address: str, *, theme: str = "light", width: int = 1280, height: int = 800
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.goto(f"{site.url}/{address}")
    expect(page.locator(".skeleton")).to_have_count(0)
    page.wait_for_timeout(DRAWING_MS)
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main()
