"""Decisions name what keeps them; these names must exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
TESTS = {
    name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_names_tests_and_files_that_exist(page: Path) -> None:
    kept_by = page.read_text().partition("## Kept by")[2]

    assert kept_by.strip(), "a decision that nothing keeps is a wish"
    files = re.findall(r"`((?:tests|service|workers|migrations)/[\w/.]*)", kept_by)
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert set(re.findall(r"\btest_\w+(?!\w|\.py)", kept_by)) - TESTS == set()


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()

    assert PAGES
    assert re.findall(r"\]\((\d.*?\.md)\)", index) == [page.name for page in PAGES]
