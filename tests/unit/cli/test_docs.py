"""What the pages for people say exists."""

import re
from pathlib import Path

import pytest

from stepsize.cli import app
from stepsize.cli.job_file import read_job
from stepsize.spec.budget import Budget

ROOT = Path(__file__).parents[3]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "llms.txt",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
COMMANDS = {
    command.callback.__name__.strip("_").replace("_", "-")
    for command in app.registered_commands
    if command.callback is not None
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_named_exists(page: Path) -> None:
    code = re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", page.read_text(), re.DOTALL)
    text = "\n".join(block or inline for block, inline in code)
    named = set(re.findall(r"(?:^|\s|/)stepsize ([a-z][a-z-]*)", text, re.MULTILINE))
    assert named <= COMMANDS


def test_the_readme_lists_every_command() -> None:
    table = (ROOT / "README.md").read_text().partition("## Commands")[2].partition("## ")[0]
    assert {command for command in COMMANDS if not re.search(rf"`(stepsize )?{command}\b", table)} == set()


@pytest.mark.parametrize("index", ["README.md", "docs/llms.txt"])
def test_every_how_to_is_linked_where_readers_begin(index: str) -> None:
    text = (ROOT / index).read_text()
    assert [page.name for page in (ROOT / "docs" / "how-to").glob("*.md") if page.name not in text] == []


def test_the_budget_shown_is_a_budget(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "how-to" / "control-jobs.md").read_text(), re.DOTALL)
    path = tmp_path / "part.yaml"
    path.write_text(shown)
    assert Budget.model_validate(read_job(str(path))["budget"]).timeout_s == 3600
