"""What `stepsize` offers by name, and that pages and examples use nothing else."""

import ast
import inspect
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepsize
from stepsize import Bool, Choice, Float, Int
from stepsize.client.operations import Operations
from stepsize.spec.space import CategoricalParameter, FloatParameter, IntParameter

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
WALKS = "docs/concepts.md"
"""Names functions inside, on purpose: it shows the way through the code."""
PROGRAMS = [*sorted((ROOT / "examples").glob("*.py"))]


def imports_of(tree: ast.AST) -> list[tuple[str, str]]:
    """Return (module, name) of every import of ours."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found += [(node.module or "", name.name) for name in node.names]
        elif isinstance(node, ast.Import):
            found += [(name.name, "") for name in node.names]
    return [(module, name) for module, name in found if module.split(".")[0].startswith("stepsize")]


def is_public(module: str, name: str) -> bool:
    """Tell whether a name may be imported from a module: from ours itself, or a framework's integration."""
    if module == "stepsize":
        return name in stepsize.__all__
    path = ROOT / "service" / f"{module.replace('.', '/')}.py"
    return module.startswith("stepsize.integrations.") and f'__all__ = ["{name}"]' in path.read_text()


def test_every_public_name_can_be_imported_and_is_listed_everywhere() -> None:
    stub = ast.parse(Path(stepsize.__file__).with_suffix(".pyi").read_text())
    typed = {name.asname for node in stub.body if isinstance(node, ast.ImportFrom) for name in node.names}
    public = set(stepsize.__all__) - {"__version__"}
    assert typed == public
    (listed,) = [node.value for node in stub.body if isinstance(node, ast.Assign)]  # what checkers take for exported
    assert ast.literal_eval(listed) == stepsize.__all__
    assert {name for name in public if getattr(stepsize, name) is None} == set()
    assert set(dir(stepsize)) == set(stepsize.__all__)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Fluat'"):
        stepsize.Fluat  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_examples_use_only_public_names(program: Path) -> None:
    wrong = [
        found
        for found in imports_of(ast.parse(program.read_text()))
        if found[0] != "stepsize" or found[1] not in stepsize.__all__
    ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_use_only_public_names(page: Path) -> None:
    text = page.read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    imported = [found for block in blocks for found in imports_of(ast.parse(block))]
    assert [found for found in imported if not is_public(*found)] == []
    if page.relative_to(ROOT).as_posix() != WALKS:
        assert re.findall(r"stepsize_workers[./]\w+", text) == []
        used = re.findall(r"`stepsize\.(\w+)", text)
        others = {"trainers", "integrations"}  # an entry point's group, and modules that are named in full
        assert [name for name in used if name not in {*stepsize.__all__, *others}] == []


def test_a_name_whose_extra_is_missing_says_which() -> None:
    code = """
import sys
sys.modules["torch"] = None  # as if it were not installed
import stepsize
print(stepsize.trainer.__name__, stepsize.Params.__name__)
try:
    from stepsize import Task
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    plain, refused = done.stdout.splitlines()
    assert plain == "trainer Params"
    assert refused == "stepsize.Task needs: pip install 'stepsize[worker]'  (torch is missing)"


def test_the_shorthands_are_the_parameters_of_a_spec() -> None:
    assert Float(1e-3, 1.0, log=True) == FloatParameter(type="float", low=1e-3, high=1.0, log=True)
    assert Float(range_test=True) == FloatParameter(type="float", range_test=True)
    assert Int(16, 256, powers_of_two=True) == IntParameter(type="int", low=16, high=256, powers_of_two=True)
    assert Choice(["sgd", "adam"]) == CategoricalParameter(type="categorical", choices=["sgd", "adam"])
    assert Bool().choices == [False, True]
    assert Float(0, 0.99, when={"optimizer": "sgd"}).when == {"optimizer": ["sgd"]}
    assert Float(0, 0.99, when={"optimizer": ["sgd", "rmsprop"]}).when == {"optimizer": ["sgd", "rmsprop"]}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Float(1.0, 1e-3), "Float: low (1.0) is above high (0.001); swap them"),
        (lambda: Float(0, 1, log=True), "Float: a log scale needs low above 0, not 0.0"),
        (lambda: Float(1), "Float: give both low and high (or range_test: true for a learning rate)"),
        (
            lambda: Float("1e-3", 1),  # type: ignore[arg-type]
            "Float: low: a number is expected here, not the text '1e-3'",
        ),
        (lambda: Int(3, 256, powers_of_two=True), "Int: with powers_of_two both low and high must be powers of two"),
        (lambda: Choice("sgd"), "Choice: choices is a list of values, such as ['sgd'], not one text"),
        (lambda: Choice(["sgd", "sgd"]), "Choice: choices must differ from each other"),
        (lambda: Choice([]), "Choice: choices: must not be empty"),
        (
            lambda: Choice([[1, 2], [3]]),  # type: ignore[list-item]
            "Choice: choices are finite numbers, texts or truth values, not [1, 2]; give it a name here",
        ),
        (lambda: Choice([math.inf]), "Choice: choices are finite numbers, texts or truth values, not inf"),
        (lambda: Choice(5), "Choice: choices is a list of values, in an order that stays, not 5"),  # type: ignore[arg-type]
        (lambda: Choice({"a", "b"}), "Choice: choices is a list of values, in an order"),  # type: ignore[arg-type]
        (lambda: Choice({"a": 1}), "Choice: choices is a list of values, in an order"),  # type: ignore[arg-type]
        (lambda: Float(0, 1, when=["sgd"]), "when: names each parent with its values"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_shorthand_says_what_to_mend(make, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    assert str(caught.value).startswith(said)
    assert "pydantic" not in str(caught.value)


LOOSE: Any = stepsize
"""So that the type checker doesn't see what is wrong before the call does."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LOOSE.Float(lo=1, high=2), "Float() has no argument 'lo'; did you mean 'low'? (as in Float(1e-5, 1.0"),
        (lambda: LOOSE.Float(1, 2, 3), "Float() takes low and high by place, all else by name (as in"),
        (lambda: LOOSE.Int(1), "Int() needs high (as in Int(16, 256, powers_of_two=True))"),
        (lambda: LOOSE.Choice("sgd", "adam"), "Choice() takes choices by place"),
        (lambda: LOOSE.Int(1, low=2, high=3), "Int() is given low twice, by place and by name"),
        (lambda: LOOSE.trainer(lambda context: None), "trainer() takes nothing by place, all else by name (as in @"),
        (lambda: LOOSE.trainer(name="x"), "trainer() needs params and metrics and search_space (as in @trainer("),
        (lambda: LOOSE.tune(max, {}, n_trials=3), "tune() has no argument 'n_trials'; did you mean max_trials?"),
        (
            lambda: LOOSE.tune(max, {}, max_trial=3),
            "tune() has no argument 'max_trial'; did you mean 'max_trials'?",
        ),
        (lambda: LOOSE.tune(max), "tune() needs search_space (as in tune(train, {"),
    ],
)
def test_a_wrong_call_says_how_it_is_made(make, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value).startswith(said)


def test_numbers_of_numpy_are_what_they_are() -> None:
    sizes = Choice(list(np.array([16, 32])))
    assert sizes.choices == [16, 32]
    assert [type(size) for size in sizes.choices] == [int, int]
    assert Float(np.float64(0.5), 1) == Float(0.5, 1)


PUBLIC_FUNCTIONS = [name for name in stepsize.__all__ if inspect.isfunction(getattr(stepsize, name))]


@pytest.mark.parametrize("name", PUBLIC_FUNCTIONS)
def test_help_shows_types_and_nothing_of_pydantics(name: str) -> None:
    assert not re.search("FieldInfo|Constraints|Annotated", str(inspect.signature(getattr(stepsize, name))))


@pytest.mark.parametrize("name", [name for name in vars(Operations) if not name.startswith("_")])
def test_help_of_the_clients_methods_too(name: str) -> None:
    shown = str(inspect.signature(getattr(stepsize.Client, name)))
    assert not re.search("FieldInfo|Constraints|Annotated", shown)
