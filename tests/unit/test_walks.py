"""What docs/concepts.md says holds: its walks name functions that exist, found in the source, for some import torch."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONCEPTS = (ROOT / "docs" / "concepts.md").read_text()
WALKS = CONCEPTS.partition("### The walk of one learning rate")[2].partition("\n## ")[0]
NAMES = sorted(set(re.findall(r"`((?:stepsize|stepsize_workers)\.[\w.]+)`", WALKS)))


@pytest.mark.parametrize("name", NAMES)
def test_a_walk_passes_functions_that_exist(name: str) -> None:
    parts = name.split(".")
    source = ROOT / ("workers" if parts[0] == "stepsize_workers" else "service")
    n_module = next(n for n in range(len(parts), 0, -1) if source.joinpath(*parts[:n]).with_suffix(".py").exists())
    body: list[ast.stmt] = ast.parse(source.joinpath(*parts[:n_module]).with_suffix(".py").read_text()).body
    assert n_module < len(parts)
    for part in parts[n_module:]:
        found = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part]
        assert found, f"there is no {part} in {name}"
        body = found[0].body


def test_there_are_walks() -> None:
    assert len(NAMES) > 25


def test_a_word_is_explained_once() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", CONCEPTS, re.MULTILINE)

    assert len(words) > 25
    assert [word for word in set(words) if words.count(word) > 1] == []
