"""What the images and the compose file promise; hadolint and the compose schema check that they are well formed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from stepsize.cli import app

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def _stage(target: str) -> str:
    """Return the instructions of one stage of the Dockerfile."""
    stages = re.split(r"(?m)^(?=FROM )", DOCKERFILE)
    (stage,) = (stage for stage in stages if re.match(rf"FROM \S+ AS {target}$", stage, flags=re.MULTILINE))
    return stage


def test_only_loopback_is_published() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports, "the API is reachable from this machine"
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", OURS)
def test_containers_run_commands_that_the_console_script_has(name: str) -> None:
    assert OURS[name]["command"][0] in get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OURS)
def test_containers_are_built_from_a_target_of_the_dockerfile_that_is_not_root(name: str) -> None:
    stage = _stage(OURS[name]["build"]["target"])

    assert re.search(r"(?m)^USER 10001", stage)
    assert 'ENTRYPOINT ["stepsize"]' in stage


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "migrate"])
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    service = SERVICES[name]

    assert "healthcheck" in service or "HEALTHCHECK" in _stage(service["build"]["target"])


def test_nothing_starts_before_the_tables_are_there() -> None:
    for name in OURS.keys() - {"migrate"}:
        assert OURS[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_api_and_workers_share_database_and_artifacts() -> None:
    assert len({OURS[name]["environment"]["STEPSIZE_DATABASE_URL"] for name in OURS}) == 1
    for name in OURS.keys() - {"migrate"}:
        assert OURS[name]["volumes"] == ["artifacts:/data"]


def test_a_gpu_is_asked_for_by_the_gpu_profile_alone() -> None:
    with_gpu = {name for name, service in SERVICES.items() if "deploy" in service}

    assert with_gpu == {"worker-gpu"}
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]


def test_each_image_installs_what_its_command_needs() -> None:
    for_api = _stage("dependencies") + _stage("build-api") + _stage("api")
    assert re.findall(r"'\.\[(\w+)\]'", for_api) == ["analysis"], "which includes the server's extra, and no torch"
    assert re.findall(r"'\.\[([\w,]+)\]'", _stage("dependencies-worker")) == ["optimizers,worker"]


@pytest.mark.parametrize("target", ["build-api", "build-worker"])
def test_the_stand_in_for_the_code_is_not_what_gets_installed(target: str) -> None:
    assert re.search(r"RUN rm -rf build \\\n\s+&& pip install .*--force-reinstall \.", _stage(target))
