"""Which extras of the installed distribution a command needs, and which of them are not there.

The distribution's own metadata says what an extra is made of: there is no second list to keep.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution, requires
from types import MappingProxyType

NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "up": ("server", "worker"),
        "api": ("server",),
        "migrate": ("server",),
        "worker": ("worker",),
        "try": ("worker",),
        "tune": ("server", "worker"),
        "mcp": ("mcp",),
        "import": ("optuna",),
    }
)
"""Command → its extras. What is not listed only talks HTTP."""
TALKING: tuple[str, ...] = ("cli",)
ANALYSIS = "analysis"
"""What `up` answers without, but for reports and plots: installed with the rest where something is missing."""

_DISTRIBUTION = "stepsize"
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[(?P<extras>[\w,-]+)\])?[^;]*(?:;.*extra == ['\"](?P<of>[\w-]+)['\"])?"
)


def missing_extras(wanted: Sequence[str]) -> list[str]:
    """Return those of these extras that lack a distribution, their own or of an extra they include."""
    return [extra for extra in wanted if not _is_complete(extra)]


def what_to_install(command: str) -> str:
    """Return the command that installs all that a command lacks; empty where it can run."""
    wanted = NEEDS.get(command, TALKING)
    missing = missing_extras(wanted)
    if missing and command == "up":
        missing += missing_extras([ANALYSIS])
    return how_to_install(missing) if missing else ""


def how_to_install(extras: Sequence[str]) -> str:
    """Return the command that installs these extras."""
    return f"pip install '{_DISTRIBUTION}[{','.join(extras)}]'"


def _is_complete(extra: str) -> bool:
    try:
        requirements = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # run from a source tree: nothing says what should be there
        return True
    own = [found for line in requirements if (found := _REQUIREMENT.match(line)) and found["of"] == extra]
    return all(
        all(map(_is_complete, (each["extras"] or "").split(",")))
        if each["name"] == _DISTRIBUTION
        else _is_installed(each["name"])
        for each in own
    )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
