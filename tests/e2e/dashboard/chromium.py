"""Where Chromium is; `python -m tests.e2e.dashboard.chromium` installs one where there is none."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Return the path of `$CHROMIUM`, of a browser on the PATH, or of Playwright's own; None: none of them starts."""
    return next((path for path in _candidates() if path and _starts(path)), None)


def install_chromium() -> None:
    """Install Chromium by apt-get where that is allowed, else Playwright's own build; what they say is shown."""
    for commands in (_by_apt_get(), [[sys.executable, "-m", "playwright", "install", "chromium"]]):
        if all(subprocess.run(command, check=False).returncode == 0 for command in commands) and find_chromium():
            return


def _candidates() -> Iterator[str | None]:
    yield os.environ.get("CHROMIUM")
    yield from map(shutil.which, _NAMES)
    with sync_playwright() as playwright:  # asked last: it starts a process
        path = playwright.chromium.executable_path
    yield path if Path(path).exists() else None


def _by_apt_get() -> list[list[str]]:
    if shutil.which("apt-get") is None:
        return [["false"]]
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and shutil.which("sudo") is None:
        return [["false"]]
    # A list of packages that is out of date, or a mirror that is away, shows in the install.
    update = ["sh", "-c", " ".join([*sudo, "apt-get", "update", "-q", "||", "true"])]
    return [update, [*sudo, "apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"]]


def _starts(path: str) -> bool:
    """Tell whether it is a browser: on some systems the package is a stub that asks for another installer."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    if find_chromium() is None:
        install_chromium()
    if find_chromium() is None:
        sys.exit("no Chromium, and none could be installed: install one, or name its path in $CHROMIUM")
