"""The service that `tune` starts: how long it is waited for, and what is said meanwhile."""

from pathlib import Path
from typing import cast

import pytest

from stepsize.children.child import TiedProcess
from stepsize.tuning import local_service
from stepsize.tuning.errors import ServiceStartError


class SlowProcess:
    """Says after a few looks where it answers, or ends by then."""

    def __init__(self, log: Path, said: str, *, ends: bool = False) -> None:
        self._log, self._said, self._ends = log, said, ends
        self._n_looks = 0

    @property
    def is_alive(self) -> bool:
        self._n_looks += 1
        if self._n_looks == 3:
            self._log.write_text(self._said)
        return self._n_looks < 3 or not self._ends

    def end(self) -> int:
        return 1


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "tune-service.log"
    path.touch()
    return path


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_service, "_SAY_EVERY_S", 0.0)
    monkeypatch.setattr(local_service, "_LOOK_EVERY_S", 0.0)


def await_address(process: SlowProcess, log: Path) -> str:
    return local_service._await_address(cast(TiedProcess, process), log)


def test_a_slow_start_is_waited_for_and_says_so(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = SlowProcess(log, "Stepsize answers at http://127.0.0.1:1234 (…)")
    assert await_address(process, log) == "http://127.0.0.1:1234"
    assert f"waiting for a service to start on {log.parent}, 0 s so far; {log} is its log" in capsys.readouterr().err


@pytest.mark.parametrize(("said", "told"), [("no room\n", "ends with:\nno room"), ("", "is empty")])
def test_a_process_that_ends_says_what_it_said_last(log: Path, said: str, told: str) -> None:
    with pytest.raises(ServiceStartError, match=f"its process ended\n.*{told}"):
        await_address(SlowProcess(log, said, ends=True), log)


def test_patience_ends_too(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_service, "_START_S", 0.0)
    with pytest.raises(ServiceStartError, match="it did not answer within 0 s"):
        await_address(SlowProcess(log, ""), log)
