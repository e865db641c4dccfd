"""Collects the provenance of what trains in this process. Nothing is imported for its sake.

It costs some tens of milliseconds, most of them git's: collect it once for each trainer.
"""

import ast
import hashlib
import inspect
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stepsize.spec.provenance import LONGEST_WORD, MOST_PACKAGES, Provenance

ALWAYS = ("stepsize", "torch", "numpy", "optuna")
_GIT_S = 5.0
_DRIVER = re.compile(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)")


def collect(source: object, *, trainer: str | None, trainer_version: str | None, device: str) -> Provenance:
    """Return the provenance of trials that a class or a function trains here.

    Args:
        source: the class or the function.
        device: as torch names it, such as cpu or cuda:0.
    """
    file = _file_of(source)
    text = _text_of(source, file)
    commit, is_dirty = (None, None) if file is None else _git_state(file)
    gpu = _gpu_name(device)
    return Provenance(
        trainer=trainer and trainer[:LONGEST_WORD],
        trainer_version=trainer_version,
        source_hash=None if text is None else hashlib.sha256(text.encode()).hexdigest()[:16],
        git_commit=commit,
        git_dirty=is_dirty,
        packages=dict(list(_packages(text or ""))[:MOST_PACKAGES]),
        device=gpu or _processor_name(),
        driver=_driver() if gpu else None,
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}",
    )


def _file_of(source: object) -> Path | None:
    with suppress(TypeError, OSError):
        found = inspect.getsourcefile(source)  # type: ignore[arg-type]  # it raises TypeError for what it doesn't take
        path = Path(found) if found else None
        if path is not None and path.is_file():
            return path.resolve()
    return None


def _text_of(source: object, file: Path | None) -> str | None:
    """Return the text of the file, or, of a function of a notebook, its own."""
    with suppress(OSError, TypeError, UnicodeDecodeError):
        return inspect.getsource(source) if file is None else file.read_text(encoding="utf-8")  # type: ignore[arg-type]
    return None


def _packages(text: str) -> Iterator[tuple[str, str]]:
    ours = sys.stdlib_module_names
    for name in dict.fromkeys([*ALWAYS, *_imported(text)]):
        if name not in ours and not name.startswith("_") and (found := _version_of(name)):
            yield name, found[:LONGEST_WORD]


def _imported(text: str) -> list[str]:
    """Return the top-level packages that a file imports."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # a notebook's magic, or an indented function
        return []
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module.partition(".")[0])
    return sorted(set(names))


def _version_of(name: str) -> str | None:
    with suppress(PackageNotFoundError, ValueError):
        return version(name)
    told = getattr(sys.modules.get(name), "__version__", None)  # sklearn, PIL, yaml: otherwise called where installed
    return told if isinstance(told, str) and told else None


def _git_state(file: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the repository that tracks a file, and whether anything tracked has changed since."""
    if not any((parent / ".git").exists() for parent in file.parents):
        return None, None
    folder = str(file.parent)
    if _git(folder, "ls-files", "--error-unmatch", file.name) is None:
        return None, None
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit or None, None if changed is None else bool(changed)


def _git(folder: str, *arguments: str) -> str | None:
    # No variables of a hook's or a caller's, which would name another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments],
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_S,
            text=True,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()


def _gpu_name(device: str) -> str | None:
    torch: Any = sys.modules.get("torch")
    if not device.startswith("cuda") or torch is None:
        return None
    with suppress(Exception):  # a driver that is broken is for the training to tell
        return str(torch.cuda.get_device_name(torch.device(device)))
    return None


def _driver() -> str | None:
    torch: Any = sys.modules.get("torch")
    told = []
    with suppress(OSError):
        found = _DRIVER.search(Path("/proc/driver/nvidia/version").read_text(encoding="utf-8"))
        told += [f"driver {found[1]}"] if found else []
    if torch is not None and getattr(torch.version, "cuda", None):
        told.append(f"CUDA {torch.version.cuda}")
    return ", ".join(told) or None


def _processor_name() -> str | None:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()[:LONGEST_WORD] or None
    return platform.processor()[:LONGEST_WORD] or platform.machine() or None
