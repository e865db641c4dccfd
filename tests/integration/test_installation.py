"""What people get who install it: names that clash with nothing, and only the libraries of the extras they chose."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.installation import Installation, build_wheel, clean_environment, copy_sources, install, requirements_of
from tests.waiting import wait_for

EVERYTHING = requirements_of("worker", "analysis")
PATIENCE_S = 60.0
USERS_PROJECT = """
from service.mine import WORD as one
from workers.mine import WORD as two
from tests.mine import WORD as three
from migrations.mine import WORD as four
import stepsize, stepsize_workers, stepsize_migrations
from stepsize import Client
from stepsize_workers.trainers.base import Trainer
print(one, two, three, four, Client.__name__, Trainer.__name__)
"""
A_JOB = """
from stepsize import Client
import sys
with Client(sys.argv[1]) as client:
    job = client.submit({"trainer": {"name": "synthetic"}, "budget": {"max_trials": 2}})
    print(client.wait(job.id).state)
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_sources(tmp_path_factory.mktemp("sources") / "stepsize")


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(sources, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project whose packages have the names of our folders."""
    folder = tmp_path / "project"
    for name in ("service", "workers", "tests", "migrations"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
        (folder / name / "mine.py").write_text(f"WORD = '{name}'\n")
    return folder


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installation(
    request: pytest.FixtureRequest, sources: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    folder = tmp_path_factory.mktemp("installed") / "venv"
    if request.param == "wheel":
        return install(folder, str(wheel), dependencies=EVERYTHING)
    return install(folder, "-e", str(sources), dependencies=[*EVERYTHING, "setuptools"])


def test_a_project_with_packages_of_our_folders_names_works_beside_it(
    installation: Installation, project: Path
) -> None:
    (project / "app.py").write_text(USERS_PROJECT)
    done = installation.run(installation.python, "app.py", cwd=project)
    assert done.stdout.split() == ["service", "workers", "tests", "migrations", "Client", "Trainer"], done.stderr


@pytest.mark.slow
def test_the_service_runs_in_such_a_project(installation: Installation, project: Path) -> None:
    (project / "app.py").write_text(A_JOB)
    with serving(installation, project) as url:
        done = installation.run(installation.python, "app.py", url, cwd=project)
    assert done.stdout.strip() == "completed", done.stderr


class serving:  # noqa: N801 - reads as a context
    """`stepsize up` in a directory, for as long as the context lasts."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self._command = [str(installation.script), "up", "--port", "0", "--slots", "1"]
        self._folder = folder

    def __enter__(self) -> str:
        with (self._folder / "up.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=clean_environment(), stdout=log, stderr=log
            )
        return wait_for(self._url, timeout_s=PATIENCE_S) or ""

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def _url(self) -> str | None:
        said = (self._folder / "up.log").read_text()
        assert self._process.poll() is None, said
        found = re.search(r"answers at (http://\S+)", said)
        return found[1] if found else None


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install(tmp_path_factory.mktemp("bare") / "venv", str(wheel), dependencies=requirements_of())


def test_the_bare_distribution_gives_the_client(bare: Installation, tmp_path: Path) -> None:
    code = "import stepsize; print(stepsize.Client('http://127.0.0.1:1').__class__.__name__)"
    done = bare.run(bare.python, "-c", code, cwd=tmp_path)
    assert done.stdout.strip() == "Client", done.stderr
    assert bare.run(bare.python, "-c", "import typer", cwd=tmp_path).returncode == 1, "the test's own premise"


@pytest.mark.parametrize(
    ("command", "extras"),
    [
        ("submit job.json", "cli"),
        ("", "cli"),
        ("up", "server,worker,analysis"),
        ("api", "server"),
        ("worker", "worker"),
        ("mcp", "mcp"),
        ("import optuna study.db", "optuna"),
    ],
)
def test_the_bare_console_script_says_what_a_command_needs(
    bare: Installation, tmp_path: Path, command: str, extras: str
) -> None:
    done = bare.run(bare.script, *command.split(), cwd=tmp_path)
    assert done.returncode == 1
    assert f"needs: pip install 'stepsize[{extras}]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(
    scope="module",
    params=["cli", *(pytest.param(name, marks=pytest.mark.slow) for name in ("server", "without torch"))],
)
def partly(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Installation]:
    chosen = {
        "cli": requirements_of("cli"),
        "server": requirements_of("server"),
        # What others need of the worker's libraries stays out, or torch would come with them.
        "without torch": [each for each in requirements_of("worker") if not each.startswith(("torch", "safetensors"))],
    }
    folder = tmp_path_factory.mktemp("partly") / "venv"
    return request.param, install(folder, str(wheel), dependencies=chosen[request.param])


@pytest.mark.slow
def test_a_command_with_an_extra_missing_says_which(partly: tuple[str, Installation], tmp_path: Path) -> None:
    name, installed = partly
    expected = {
        "cli": {"up": "server,worker,analysis", "api": "server", "migrate": "server", "worker": "worker"},
        "server": {"up": "worker,analysis", "worker": "worker"},
        "without torch": {"up": "worker,analysis", "worker": "worker"},
    }
    for command, extras in expected[name].items():
        done = installed.run(installed.script, command, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"stepsize: {command} needs: pip install 'stepsize[{extras}]'\n"
    helped = installed.run(installed.script, "up", "--help", cwd=tmp_path)
    assert helped.returncode == 0, "help needs nothing but the command line"


@pytest.mark.slow
def test_reports_without_the_analysis_say_what_they_need(wheel: Path, tmp_path: Path) -> None:
    installed = install(tmp_path / "venv", str(wheel), dependencies=requirements_of("server"))
    code = """
from starlette.testclient import TestClient
from stepsize.api.app import create_app
from stepsize.settings import Settings
from stepsize.store.migrate import upgrade
settings = Settings()
settings.data_dir.mkdir()
upgrade(settings.url)
with TestClient(create_app(settings), base_url="http://localhost") as client:
    job = client.post("/v1/jobs", json={"trainer": {"name": "synthetic"}}).json()
    refused = client.get(f"/v1/jobs/{job['id']}/report")
    print(refused.status_code, refused.json()["detail"])
    print(client.get(f"/v1/jobs/{job['id']}/export?format=csv").status_code)
"""
    (tmp_path / "ask.py").write_text(code)
    done = installed.run(installed.python, "ask.py", cwd=tmp_path)
    assert done.stdout.splitlines() == ["503 reports and plots need: pip install 'stepsize[analysis]'", "200"], (
        done.stderr
    )
