"""Any program as a trainer: a command line configured where the worker runs, never in a request.

A TOML or YAML file named by `STEPSIZE_COMMANDS` describes programs; docs/how-to/command-trainer.md is its manual. A
program gets its parameters by environment and JSON file, and reports as JSON lines on standard output.
"""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from typing import IO, Any, ClassVar, Literal, Self, assert_never

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from stepsize.domain.trainer import Metric
from stepsize.infeasibility import says_out_of_memory
from stepsize.spec.objective import Direction, Objective
from stepsize.spec.space import Scalar, SearchSpace
from stepsize_workers.deaths import describe_death
from stepsize_workers.out_of_memory import KernelWatch
from stepsize_workers.trainers.base import Diverged, Params, Trainer, TrialContext
from stepsize_workers.trainers.command_lines import InfeasibleLine, Line, NotTaken, ReportLine, read_line

SUFFIXES = (".toml", ".yaml", ".yml")
_NAP_S = 0.05
_LONGEST_LINE = 1 << 20
_MOST_LINES_AHEAD = 1000
_STDERR_LINES = 50
_PREFIX = "STEPSIZE_"


class CommandFileError(ValueError):
    """A file of commands that can't be used; names the file and what is wrong."""


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CommandParam(_Described):
    """One parameter of a program."""

    type: Literal["float", "int", "bool", "str"]
    default: Scalar
    help: str = Field(min_length=1)
    low: float | None = None
    high: float | None = None
    choices: list[str] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        is_number = self.type in ("float", "int")
        if is_number and (self.low is None or self.high is None):
            raise ValueError("a number needs low and high: what jobs may ask for")
        if not is_number and (self.low is not None or self.high is not None):
            raise ValueError(f"{self.type} has no low and high")
        if self.choices is not None and self.type != "str":
            raise ValueError("only a str has choices")
        return self

    def field(self) -> tuple[Any, Any]:
        """Return the parameter as a field of a pydantic model."""
        kind: Any = {"float": float, "int": int, "bool": bool, "str": str}[self.type]
        if self.choices is not None:
            kind = Literal[tuple(self.choices)]
        most = 1000 if self.type == "str" and self.choices is None else None
        return kind, Field(
            default=self.default,
            ge=self.low,
            le=self.high,
            max_length=most,
            description=self.help,
            validate_default=True,
        )


class Command(_Described):
    """One program."""

    command: list[str] = Field(min_length=1)
    """The program and its arguments; `{name}` in one of them becomes that parameter's value. No shell is involved."""
    help: str = Field(min_length=1)
    version: str = "1"
    directory: Path = Path()
    """Where it runs, relative to the file."""
    params: dict[str, CommandParam]
    metrics: dict[str, Direction | None] = Field(min_length=1)
    objective: str | None = None
    """The metric to tune by; left out: the first with a direction."""
    search_space: SearchSpace
    step_unit: str = "step"
    max_step_param: str | None = None
    grace_s: float = Field(default=10.0, gt=0, le=3600)
    """Seconds between SIGTERM and SIGKILL."""

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        known = set(self.params)
        named = {name for argument in self.command for name in _PLACEHOLDER.findall(argument)}
        for name in sorted((named | set(self.search_space) | {self.max_step_param or ""}) - known - {""}):
            raise ValueError(f"there is no parameter {name!r}")
        if not all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in known):
            raise ValueError("names of parameters consist of letters, digits and underscores")
        if self.metrics.get(self.tuned_metric) is None:
            raise ValueError("give at least one metric, the objective, a direction: minimize or maximize")
        return self

    @property
    def tuned_metric(self) -> str:
        """The metric of the default objective."""
        directed = [name for name, direction in self.metrics.items() if direction is not None]
        return self.objective or next(iter(directed), "")


_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class _CommandFile(_Described):
    trainers: dict[str, Command]


def read_commands(path: Path) -> dict[str, type[Trainer[Params]]]:
    """Return the trainers a file describes, by name.

    Raises:
        CommandFileError: the file can't be read or describes something impossible.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
        commands = _CommandFile.model_validate(data).trainers
        return {name: _trainer(name, command, path.parent) for name, command in commands.items()}
    except (OSError, tomllib.TOMLDecodeError, yaml.YAMLError, ValidationError) as error:
        raise CommandFileError(f"{path}: {error}") from error


def _trainer(name: str, command: Command, directory: Path) -> type[Trainer[Params]]:
    fields: dict[str, Any] = {param: described.field() for param, described in command.params.items()}
    model = create_model(f"{name}_params", __base__=Params, **fields)
    model()  # a default outside its bounds is found now
    tuned = command.tuned_metric
    direction = command.metrics[tuned]
    assert direction is not None, "checked when the file was read"
    members: dict[str, Any] = {
        "name": name,
        "version": command.version,
        "help": " ".join(command.help.split()),
        "Params": model,
        "metrics": tuple(Metric(name=metric, direction=better) for metric, better in command.metrics.items()),
        "step_unit": command.step_unit,
        "max_step_param": command.max_step_param,
        "default_search_space": command.search_space,
        "default_objectives": (Objective(metric=tuned, direction=direction),),
        "command": command,
        "directory": directory / command.directory,
    }
    return type(name, (CommandTrainer,), members)


class CommandTrainer(Trainer[Params]):
    """Runs a program for each trial; see `read_commands`."""

    command: ClassVar[Command]
    directory: ClassVar[Path]

    def train(self, context: TrialContext[Params]) -> None:
        """Run the program to its end, or until told to stop; its whole process group is gone afterwards."""
        with _running(self._arguments(context), cwd=self.directory, env=_environment(context)) as program:
            step = 0
            try:
                while (line := program.next_line()) is not _END:
                    if line is not None:
                        step = _heed(line, context, step, program)
                    if not program.is_stopping and context.should_stop():
                        program.stop()
                    program.kill_if_overdue(self.command.grace_s)
                program.check_exit()
            except Exception as error:
                if words := program.words_not_taken():
                    error.add_note(words)
                raise
            if not program.is_stopping and (words := program.words_not_taken()):
                raise ReportNotTakenError(words)

    def _arguments(self, context: TrialContext[Params]) -> list[str]:
        values = _texts(context.params)
        return [_PLACEHOLDER.sub(lambda match: values[match[1]], argument) for argument in self.command.command]


def _heed(line: Line, context: TrialContext[Params], step: int, program: "_Program") -> int:
    """Take in what the program says and return the step it is at."""
    match line:
        case NotTaken():
            program.keep(line)
            return step
        case InfeasibleLine(reason=reason, message=message):
            words = message or f"the program says so at step {step}"
            raise MemoryError(words) if reason == "oom" else Diverged(words, step=step)
        case ReportLine() if program.is_stopping:
            return step  # said before it heard the stop: nobody wants it any more
        case ReportLine():
            if context.report(line.step, line.values):
                program.stop()
            return line.step
        case _:
            assert_never(line)


class _End(Enum):
    """Of what a program says."""

    END = auto()


_END = _End.END
_MOST_QUOTED = 3


class _Program:
    """A program under way: its messages, and its end."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._lines: queue.Queue[Line | _End] = queue.Queue(_MOST_LINES_AHEAD)
        self._not_taken: list[NotTaken] = []
        self._n_not_taken = 0
        self._errors: deque[str] = deque(maxlen=_STDERR_LINES)
        self._stopped_at: float | None = None
        self._kernel = KernelWatch()
        assert process.stdout is not None, "piped"
        assert process.stderr is not None, "piped"
        self._readers = [
            threading.Thread(target=self._read_output, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def is_stopping(self) -> bool:
        return self._stopped_at is not None

    def next_line(self) -> Line | _End | None:
        """Return what the program said next, `_END` at its end, or None if it has been silent for a moment."""
        with suppress(queue.Empty):
            return self._lines.get(timeout=_NAP_S)
        if self._exit_status(os.WNOHANG) is not None:  # what it left behind may hold its output open for ever
            _signal_group(self._process.pid, signal.SIGKILL)
        return None

    def keep(self, line: NotTaken) -> None:
        """Keep a line that can't be taken, for the end of the trial."""
        self._n_not_taken += 1
        if self._n_not_taken <= _MOST_QUOTED:
            self._not_taken.append(line)

    def words_not_taken(self) -> str:
        """Return what is to be said of the lines that could not be taken, empty if there are none."""
        if not self._not_taken:
            return ""
        quoted = "; ".join(str(line) for line in self._not_taken)
        more = f"; and {self._n_not_taken - _MOST_QUOTED} more" if self._n_not_taken > _MOST_QUOTED else ""
        return f"the program printed what looks like a report and can't be taken: {quoted}{more}"

    def stop(self) -> None:
        """Ask it to end."""
        self._stopped_at = time.monotonic()
        _signal_group(self._process.pid, signal.SIGTERM)

    def kill_if_overdue(self, grace_s: float) -> None:
        """End it if it was asked to long enough ago."""
        if self._stopped_at is not None and time.monotonic() > self._stopped_at + grace_s:
            _signal_group(self._process.pid, signal.SIGKILL)

    def check_exit(self) -> None:
        """Raise if it failed; one that was asked to stop may end as it likes."""
        status = self._exit_status()
        self._readers[1].join(timeout=1.0)
        if not status or self.is_stopping:
            return
        tail = "".join(self._errors).strip()
        if says_out_of_memory(tail):
            raise MemoryError(tail[-1000:])
        if self._kernel.killed(status):
            raise MemoryError("memory ran out, and the kernel killed the program")
        ended = f"was {describe_death(-status)}" if status < 0 else f"ended with exit code {status}"
        raise CommandFailedError(f"the program {ended}: {tail[-1500:] or 'it wrote nothing to standard error'}")

    def close(self) -> None:
        """End whatever is left of it."""
        # Not waited for yet, so that its id can't be another's: the group may outlive its leader.
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()
        while any(reader.is_alive() for reader in self._readers):  # one may wait for room among the messages
            with suppress(queue.Empty):
                self._lines.get(timeout=_NAP_S)
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None, "piped"
            pipe.close()

    def _exit_status(self, options: int = 0) -> int | None:
        """Return how it ended (negative: the signal), without letting go of its id; None: it runs."""
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | options)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def _read_output(self, pipe: IO[bytes]) -> None:
        try:
            while raw := pipe.readline(_LONGEST_LINE):
                line = read_line(raw)
                if line is not None:
                    self._lines.put(line)
                if line is None or isinstance(line, NotTaken):
                    _pass_on(raw, sys.stdout)
        finally:
            self._lines.put(_END)

    def _read_errors(self, pipe: IO[bytes]) -> None:
        while raw := pipe.readline(_LONGEST_LINE):
            self._errors.append(raw.decode(errors="replace"))
            _pass_on(raw, sys.stderr)


def _pass_on(raw: bytes, stream: IO[str]) -> None:
    """Write a line to the trial's log; on a full disk the program's words are still to be read."""
    with suppress(OSError):
        stream.write(raw.decode(errors="replace"))
        stream.flush()


class CommandFailedError(Exception):
    """The program failed; the message has the end of its standard error."""


class ReportNotTakenError(Exception):
    """The program ended well, but some of what it reported could not be taken: its last values may be old ones."""


@contextmanager
def _running(arguments: list[str], *, cwd: Path, env: Mapping[str, str]) -> Iterator[_Program]:
    process = subprocess.Popen(
        arguments,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a group of its own: whatever it starts is ended with it
    )
    guard = _start_guard(process.pid)
    program = _Program(process)
    try:
        yield program
    finally:
        program.close()
        guard.kill()
        guard.communicate()


def _start_guard(group: int) -> "subprocess.Popen[bytes]":
    """Start a process that kills a group once this process is gone, however it went.

    It waits for its standard input to close, which the kernel sees to even after kill -9; in a session of its own, it
    survives this process's group.
    """
    script = 'read -r _; kill -KILL "-$1"'
    return subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _environment(context: TrialContext[Params]) -> dict[str, str]:
    """Return the program's environment: ours, without the service's own settings (the database's password is one)."""
    file = context.artifact("params.json")
    file.write_text(context.params.model_dump_json(indent=2) + "\n", encoding="utf-8")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
    return {
        **ours,
        **{f"{_PREFIX}PARAM_{name.upper()}": value for name, value in _texts(context.params).items()},
        f"{_PREFIX}PARAMS_FILE": str(file.resolve()),
        f"{_PREFIX}ARTIFACTS_DIR": str(file.resolve().parent),
        f"{_PREFIX}DATA_DIR": str(context.data_dir),
        f"{_PREFIX}SEED": str(context.seed),
        f"{_PREFIX}DEVICE": context.device,
        f"{_PREFIX}ATTEMPT": str(context.attempt),
    }


def _texts(params: Params) -> dict[str, str]:
    values: dict[str, Scalar] = params.model_dump()
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
