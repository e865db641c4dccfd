"""The guide's run in small: every experiment with a few tiny trials, on a service of its own, to pages and figures."""

from pathlib import Path

import pytest

from benchmarks.guide.__main__ import RESULTS, main
from benchmarks.guide.experiments import EXPERIMENTS
from benchmarks.guide.rendering import TEMPLATES
from benchmarks.guide.results import Results


@pytest.mark.slow
def test_a_part_of_the_run_keeps_what_it_measured(tmp_path: Path) -> None:
    names = ["rates", "label_noise"]
    main(["--tiny", "--only", *names, "--output", str(tmp_path / "pages"), "--folder", str(tmp_path / "service")])
    results = Results.read(tmp_path / "pages" / RESULTS)
    assert set(results.runs) == set(names)
    assert all(run.losses for run in results.runs["rates"] if run.outcome == "completed")
    assert not list((tmp_path / "pages").glob("*.md")), "a page would lack the other experiments' numbers"


@pytest.mark.slow
def test_a_tiny_run_writes_every_page(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    main(["--tiny", "--output", str(pages), "--folder", str(tmp_path / "service")])
    results = Results.read(pages / RESULTS)
    assert set(results.runs) == {experiment.name for experiment in EXPERIMENTS} | {"cyclical"}
    assert {path.name for path in pages.glob("*.md")} == {path.name for path in TEMPLATES.glob("*.md")}
    for page in pages.glob("*.md"):
        text = page.read_text()
        assert "{{" not in text
        assert [name for name in _figures(text) if not (pages / name).exists()] == []


def _figures(text: str) -> list[str]:
    return [part.partition(")")[0] for part in text.split("](")[1:] if part.partition(")")[0].endswith(".svg")]
