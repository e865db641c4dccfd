"""Several jobs beside each other: the page, the API, the client and the command say the same of them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from stepsize.client import Client
from tests.e2e.dashboard.site import Site
from tests.e2e.dashboard.test_accessibility import AXE, serious_findings, settle

OpenPage = Callable[..., Page]
RATE = {"learning_rate": {"type": "float", "low": 1e-5, "high": 10.0, "log": True}}
JOBS = {"low": 0.003, "high": 0.3}
"""Jobs by the rate that is best in them."""


@pytest.fixture(scope="module")
def pair(site: Site) -> list[str]:
    """Two jobs that differ in one setting, which moves the best rate by a factor of a hundred."""
    ids = [
        site.submit(
            name=name,
            trainer={"name": "synthetic", "params": {"lr_opt": best, "noise": 0.02, "diverge_above": 3.0}},
            search_space=RATE,
            sampler={"name": "random", "seed": 1},
            budget={"max_trials": 40},
        )
        for name, best in JOBS.items()
    ]
    for job_id in ids:
        site.finish(job_id, timeout_s=300)
    return ids


@pytest.fixture(scope="module")
def other_axis(site: Site) -> str:
    """A job whose values are about something else."""
    objectives = [{"metric": "accuracy", "direction": "maximize"}]
    job_id = site.submit(
        name="elsewhere", engine="external", trainer={"name": "by hand"}, search_space=RATE, objectives=objectives
    )
    for accuracy in (0.9, 0.8, 0.7, 0.95, 0.6, 0.85):
        site.train(job_id, {"accuracy": accuracy})
    site.cancel(job_id)
    return job_id


def test_four_ways_tell_the_same_of_several_jobs(site: Site, pair: list[str], open_page: OpenPage) -> None:
    answer = site.http.get("/v1/reports", params={"job": pair}, timeout=60).json()
    (table,) = answer["tables"]
    assert (table["parameter"], [row["choice"] for row in table["rows"]]) == ("lr_opt", list(JOBS.values()))
    (two,) = table["pairs"]
    assert two["rate_ratio"]["low"] < 100 < two["rate_ratio"]["high"], "the truth lies in the interval"

    with Client(site.url) as client:
        assert client.compare(pair).model_dump(mode="json")["tables"] == answer["tables"]
        text = client.compare_text(pair)
    assert json.loads(_command(site, "report", *pair, "--json"))["tables"] == answer["tables"]
    assert _command(site, "report", *pair) == text
    assert site.http.get("/v1/reports", params={"job": pair}, headers={"accept": "text/markdown"}).text == text
    assert two["sentence"] in text

    page = open_page(f"#/compare?jobs={','.join(pair)}")
    settle(page)
    expect(page.get_by_text(answer["sentence"])).to_be_visible()
    region = page.get_by_role("region", name="By lr opt", exact=True)
    rows = _cells(region)
    assert [row[0] for row in rows] == [str(best) for best in JOBS.values()]
    for shown, row in zip(rows, table["rows"], strict=True):
        assert _numbers(shown[1]) == [row["n_trials"]]
        assert _numbers(shown[2]) == _estimate(row["learning_rate"])
        assert _numbers(shown[4]) == _estimate(row["value"])
        assert _numbers(shown[6]) == _estimate(row["diverged_share"], factor=100, tolerance=0.6)
    (shown,) = _cells(page.get_by_role("region", name="By lr opt, two by two"))
    assert _numbers(shown[2]) == _estimate(two["rate_ratio"])
    assert _numbers(shown[4]) == _estimate(two["improvement"])
    assert shown[5] == two["sentence"]
    page.get_by_text("By learning rate: low").click()
    bands = _cells(page.get_by_role("region", name="Results by learning rate").first)
    assert len(bands) == len(answer["jobs"][0]["by_learning_rate"]["bands"])
    page.evaluate(AXE)
    assert serious_findings(page) == []


def test_values_of_different_objectives_stand_on_no_common_axis(
    site: Site, pair: list[str], other_axis: str, open_page: OpenPage
) -> None:
    ids = [*pair, other_axis]
    answer = site.http.get("/v1/reports", params={"job": ids}, timeout=60).json()
    page = open_page(f"#/compare?jobs={','.join(ids)}")
    settle(page)
    expect(page.get_by_text("each kind has a picture of its own")).to_be_visible()
    notes = page.locator("section.card", has=page.get_by_role("heading", name="Best so far")).locator("header .note")
    assert sorted(notes.all_inner_texts()) == [
        "accuracy, maximize, by hand, by number of trials",
        "loss, minimize, synthetic, by number of trials",
    ]
    for caveat in answer["caveats"]:
        expect(page.get_by_text(caveat)).to_be_visible()
    mixed = [
        pair
        for table in answer["tables"]
        for pair in table["pairs"]
        if len({table["rows"][at]["objective"]["metric"] for at in pair["rows"]}) > 1
    ]
    mixed += [pair for pair in answer["pairs"] if other_axis in pair["job_ids"]]
    assert all(pair["improvement"]["value"] is None for pair in mixed)


def test_side_by_side_every_row_says_something(
    site: Site, pair: list[str], other_axis: str, finished_job: str, open_page: OpenPage
) -> None:
    objectives = [{"metric": "loss", "direction": "minimize"}]
    waiting = site.submit(
        name="nothing yet", engine="external", trainer={"name": "by hand"}, search_space=RATE, objectives=objectives
    )
    page = open_page(f"#/compare?jobs={','.join([pair[0], other_axis, finished_job, waiting])}")
    settle(page)
    region = page.get_by_role("region", name="Jobs side by side")
    expect(region.get_by_text("…", exact=True)).to_have_count(0, timeout=60_000)  # the report
    site.cancel(waiting)
    rows = {row[0]: row[1:] for row in _cells(region)}
    assert [name for name, cells in rows.items() if set(cells) <= {"–", ""}] == []
    assert rows["objectives"] == ["minimize loss", "maximize accuracy", "minimize loss", "minimize loss"]
    assert rows["search_space.batch_size"] == ["–", "–", "16 … 256, powers of two", "–"]
    assert rows["best"][3] == "–"
    assert rows["recommended rate"][3].startswith("–\n"), "with the reason below"


def test_why_there_is_no_comparison_is_said(
    site: Site, pair: list[str], open_page: OpenPage, complaints: list[str]
) -> None:
    page = open_page("#/workers")
    page.route(
        "**/v1/reports?*",
        lambda route: route.fulfill(
            status=409, content_type="application/problem+json", body=json.dumps({"detail": "no trial yet"})
        ),
    )
    page.goto(f"{site.url}/#/compare?jobs={','.join(pair)}")
    expect(page.get_by_text("no trial yet")).to_be_visible()
    complaints.clear()  # the browser names the refusal too


def _command(site: Site, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stepsize.cli", *arguments],
        env={**os.environ, "STEPSIZE_SERVER": site.url},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def _cells(region: Locator) -> list[list[str]]:
    """Return what a table's rows show."""
    expect(region.locator("tbody tr").first).to_be_visible()
    rows: list[list[str]] = region.locator("tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
    )
    return rows


def _numbers(text: str) -> list[float]:
    """Return the numbers in a cell: the value first, then the ends of its interval."""
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text.replace("−", "-"))]


def _estimate(of: dict[str, Any], *, factor: float = 1.0, tolerance: float = 0.0) -> list[Any]:
    """Return what `_numbers` finds of an estimate, as the page rounds it."""
    told = [of["value"], of["low"], of["high"]]
    return [pytest.approx(factor * one, rel=0.06, abs=max(tolerance, 6e-4)) for one in told]
