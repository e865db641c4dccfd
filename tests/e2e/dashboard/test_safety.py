"""What a client or a trainer wrote is text, never markup; and the page says what to do when there is nothing."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.e2e.dashboard.site import Site

OpenPage = Callable[..., Page]
HOSTILE = '<img src=x onerror="window.taken=true"><b>bold</b>'


def test_names_and_labels_are_text(site: Site, open_page: OpenPage) -> None:
    job_id = site.submit(name=HOSTILE, labels={HOSTILE: HOSTILE}, budget={"max_trials": 1})
    site.finish(job_id)
    page = open_page("#/workers")
    headings = {"#/jobs": "Jobs", f"#/jobs/{job_id}": HOSTILE, f"#/compare?jobs={job_id}": "Compare"}
    for address, heading in headings.items():
        page.goto(f"{site.url}/{address}")
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert page.evaluate("window.taken") is None
        assert page.locator("main b").count() == 0


def test_nothing_inline_runs(open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page("#/jobs")
    page.evaluate(
        """() => { const script = document.createElement("script"); script.textContent = "window.taken = true";
                   document.body.append(script); }"""
    )
    assert page.evaluate("window.taken") is None
    assert "Content Security Policy" in complaints.pop()


def test_nothing_is_loaded_from_elsewhere(site: Site, open_page: OpenPage) -> None:
    page = open_page("#/workers")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.reload()
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    assert requested
    assert [url for url in requested if not url.startswith(site.url)] == []


def test_the_page_and_the_documentation_still_change_things(site: Site, open_page: OpenPage) -> None:
    page = open_page("#/workers")
    for path in ("/", "/docs"):
        page.goto(site.url + path)
        status = page.evaluate(
            """async () => (await fetch("/v1/jobs?dry_run=true", {
                method: "POST", headers: {"Content-Type": "application/json"},
                body: JSON.stringify({trainer: {name: "synthetic"}}),
            })).status"""
        )
        assert status == 200


def test_an_absent_job_is_said_and_left_by_a_link(open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page("#/jobs/job_nowhere")
    expect(page.get_by_role("alert")).to_contain_text("there is no job 'job_nowhere'")
    page.get_by_role("link", name="All jobs").click()
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    complaints.clear()  # the browser notes the 404


def test_the_first_visit_teaches(open_page: OpenPage) -> None:
    page = open_page("#/workers")
    page.route("**/v1/jobs?*", lambda route: route.fulfill(json={"items": [], "next_page_token": None}))
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("heading", name="No job yet")).to_be_visible()
    expect(page.get_by_label("A command that submits a job")).to_contain_text(
        "/v1/jobs -H 'Content-Type: application/json'"
    )


def test_a_service_that_is_away_is_said_and_awaited(open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page("#/workers")
    page.route("**/v1/jobs?*", lambda route: route.abort())
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("stepsize up")
    page.unroute("**/v1/jobs?*")
    expect(page.get_by_role("alert")).to_have_count(0)
    complaints.clear()  # the browser notes each refused request
