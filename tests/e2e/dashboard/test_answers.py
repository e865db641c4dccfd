"""What a job has found: fronts, suggestions, and all there is to take away."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.e2e.dashboard.site import Site

OpenPage = Callable[..., Page]


def test_several_objectives_have_a_front(site: Site, front_job: str, open_page: OpenPage) -> None:
    page = open_page(f"#/jobs/{front_job}")
    expect(page.get_by_role("img", name="Pareto front: 3 of 5 trials")).to_be_visible()
    expect(page.get_by_text("3 of 5 completed trials are beaten by none")).to_be_visible()
    numbers = page.get_by_role("region", name="Trials on the front").locator("tbody a")
    assert numbers.all_inner_texts() == ["0", "1", "2"], "best first by the first objective"
    expect(page.locator(".tile").first).to_contain_text("3 trials")
    page.goto(f"{site.url}/#/jobs")
    row = page.locator("tbody tr", has_text="front").filter(has_text="by hand")
    expect(row.get_by_role("link", name="Pareto front")).to_be_visible()


def test_range_tests_show_their_suggestions_and_no_best_loss(site: Site, range_test: str, open_page: OpenPage) -> None:
    page = open_page("#/range-tests")
    row = page.locator("tbody tr", has_text="rates")
    expect(row).to_contain_text("at batch size 32")
    expect(row).to_contain_text("at batch size 128")

    page.get_by_role("link", name="Jobs", exact=True).click()
    row = page.locator("tbody tr", has_text="rates")
    expect(row).to_contain_text("at batch size 32")
    expect(row).not_to_contain_text("loss")
    page.goto(f"{site.url}/#/jobs/{range_test}")
    expect(page.get_by_role("heading", name="Batch size 128")).to_be_visible()


def test_everything_can_be_taken_away(site: Site, finished_job: str, front_job: str, open_page: OpenPage) -> None:
    page = open_page(f"#/jobs/{finished_job}")
    page.get_by_role("button", name="Export").click()
    links = page.locator(".menu-panel a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    exports = [link for link in links if "/export?" in link]
    assert {link.partition("format=")[2] for link in exports} == {
        *(f"{name}&rows=trials" for name in ("csv", "jsonl", "parquet", "optuna")),
        *(f"{name}&rows=reports" for name in ("csv", "jsonl", "parquet")),
    }
    assert all(site.http.get(link).is_success for link in exports if "csv" in link or "jsonl" in link)
    assert f"/v1/jobs/{finished_job}/plots/heatmap.svg?theme=light" in links
    assert not [link for link in links if "pareto" in link or "range_test" in link], "this job has none"
    with page.expect_popup() as opened:
        page.get_by_role("link", name="sensitivity as SVG").click()
    assert opened.value.url.endswith("sensitivity.svg?theme=light")
    expect(opened.value.locator("svg")).to_be_visible()

    page.goto(f"{site.url}/#/jobs/{front_job}")
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_role("link", name="pareto as PNG")).to_be_visible()


def test_a_study_trained_elsewhere_says_truly_why_a_chart_is_empty(site: Site, open_page: OpenPage) -> None:
    given = [{"learning_rate": 10.0**-at} for at in range(1, 4)]
    job_id = site.submit(
        trainer={"name": "optuna"},
        engine="external",
        search_space={"learning_rate": {"type": "float", "low": 1e-4, "high": 1.0, "log": True}},
        objectives=[{"metric": "loss", "direction": "minimize"}],
        name="brought in",
        confirm=False,
        budget={"max_trials": len(given)},
        enqueue=given,
    )
    for loss in (0.3, 0.1, 0.2):
        site.train(job_id, {"loss": loss})
    site.finish(job_id)
    page = open_page(f"#/jobs/{job_id}")
    expect(page.get_by_text("no trial has reported how it went, there are only final values")).to_be_visible()
    expect(page.get_by_text("Nothing to draw yet")).to_have_count(0)
    page.goto(f"{site.url}/#/jobs")
    row = page.locator("tbody tr", has_text="brought in")
    expect(row).to_contain_text("optuna · configurations given")
