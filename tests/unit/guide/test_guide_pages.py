"""The guide's pages say what the committed results say, and nothing else."""

import re
from pathlib import Path

import pytest

from benchmarks.guide.__main__ import PAGES, RESULTS
from benchmarks.guide.experiments import EXPERIMENTS, Experiment
from benchmarks.guide.rendering import TEMPLATES, render_pages
from benchmarks.guide.results import Results
from stepsize.spec.job import JobSpec

NAMES = sorted(path.name for path in TEMPLATES.glob("*.md"))
LARGEST_FIGURE = 250_000
"""Bytes; a page with its figures should load at once."""


@pytest.fixture(scope="module")
def results() -> Results:
    return Results.read(PAGES / RESULTS)


@pytest.fixture(scope="module")
def pages(results: Results) -> dict[str, str]:
    return render_pages(results)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_what_the_results_make_it(name: str, pages: dict[str, str]) -> None:
    assert (PAGES / name).read_text() == pages[name], "run `.venv/bin/python -m benchmarks.guide --render`"


@pytest.mark.parametrize("name", NAMES)
def test_every_link_and_figure_leads_somewhere(name: str, pages: dict[str, str]) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)", pages[name])
    assert links
    assert [link for link, _ in links if not (PAGES / link).exists()] == []
    for link, anchor in links:
        if anchor:
            assert anchor.removeprefix("#") in _anchors(PAGES / link)


def test_every_figure_is_shown_and_small(pages: dict[str, str]) -> None:
    text = "".join(pages.values())
    for figure in PAGES.glob("*.svg"):
        assert f"({figure.name})" in text
        assert figure.stat().st_size < LARGEST_FIGURE


def test_templates_hold_no_measured_number() -> None:
    # What a run measures has decimals or a ±; what a template may say are ranges of rates, which the specs hold too.
    for name in NAMES:
        prose = re.sub(r"\{\{[^}]*\}\}|0\.0*[1-9]\d?\b|`[^`]*`|1\.0|2\.303", "", (TEMPLATES / name).read_text())
        assert re.findall(r"\d+\.\d{2,}|±\s*\d", prose) == [], name


def test_results_and_specs_are_those_of_the_experiments(results: Results) -> None:
    for experiment in EXPERIMENTS:
        assert results.specs[experiment.name] == experiment.spec(0), f"run it again: --only {experiment.name}"
        assert {run.seed for run in results.runs[experiment.name]} == set(range(experiment.n_seeds))


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_every_job_shown_is_a_job(experiment: Experiment) -> None:
    JobSpec.model_validate(experiment.spec(0))


def _anchors(page: Path) -> list[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings]
