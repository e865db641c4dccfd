"""Environments with the distribution installed as users install it, and only those dependencies that a test names.

No network: dependencies are links to what is installed here already.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "service", "workers", "migrations")
_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@dataclass(frozen=True)
class Installation:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def script(self) -> Path:
        """The console script."""
        return self.folder / "bin" / "stepsize"

    @property
    def site_packages(self) -> Path:
        base = {"base": str(self.folder), "platbase": str(self.folder)}
        return Path(sysconfig.get_path("purelib", "venv", vars=base))

    def run(self, *command: str | Path, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as its users would: nothing of this process's environment leads back to the sources."""
        return subprocess.run(
            list(map(str, command)), cwd=cwd, env=clean_environment() | env, capture_output=True, text=True, check=False
        )


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what is ours or Python's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("STEPSIZE_", "PYTHON"))}


def copy_sources(folder: Path) -> Path:
    """Copy what a wheel is built from: pip leaves a `build/` where it builds."""
    folder.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def build_wheel(sources: Path, folder: Path) -> Path:
    """Build the wheel with the setuptools that is here."""
    command = [*_PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(sources)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("stepsize-*.whl")
    return wheel


def install(folder: Path, *package: str, dependencies: Iterable[str]) -> Installation:
    """Make an environment with our distribution and these requirements with all that they require.

    Args:
        package: what pip is given: a wheel, or `-e` and a source tree.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    installation = Installation(folder)
    for each in _closure(dependencies).values():
        _link(each, installation.site_packages)
    options = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*_PIP, "--python", str(installation.python), "install", *options, *package], check=True)
    return installation


def requirements_of(*extras: str) -> list[str]:
    """Return what pyproject.toml asks for under these extras, included ones too; with none, what it always asks for."""
    return [str(each) for each in _own_requirements(extras)]


def _own_requirements(extras: Iterable[str]) -> Iterator[Requirement]:
    for line in distribution("stepsize").requires or []:
        requirement = Requirement(line)
        if not _applies(requirement, extras):
            continue
        if requirement.name == "stepsize":
            yield from _own_requirements(requirement.extras)
        else:
            yield Requirement(line.partition(";")[0])


def _closure(requirements: Iterable[str]) -> Mapping[str, Distribution]:
    found: dict[str, Distribution] = {}
    left = [Requirement(text) for text in requirements]
    while left:
        requirement = left.pop()
        if requirement.name in found and not requirement.extras:
            continue
        try:
            found[requirement.name] = distribution(requirement.name)
        except PackageNotFoundError:  # for another platform
            continue
        lines = found[requirement.name].requires or []
        left += [each for each in map(Requirement, lines) if _applies(each, requirement.extras)]
    return found


def _applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in (*extras, ""))


def _link(installed: Distribution, site_packages: Path) -> None:
    names = {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}
    for name in names:
        link = site_packages / name
        if not link.exists() and not name.endswith(".pth"):
            link.symlink_to(Path(str(installed.locate_file(name))))
