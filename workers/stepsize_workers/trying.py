"""One trial in the foreground, without a service: `stepsize try my_trainer.py --param learning_rate=0.1`.

`python -m stepsize_workers.trying TRAINER [--param NAME=VALUE …]`; the command line starts it in a process of its own,
so that the file is read anew each time.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TextIO

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stepsize.domain.figures import check_figure
from stepsize.domain.outcomes import unreported_error
from stepsize.domain.said import check_name, check_step, check_values, is_finite
from stepsize.spec.hints import hint
from stepsize.spec.pairs import read_scalars
from stepsize.spec.wording import pydantic_words
from stepsize_workers.engines.base import Outcome
from stepsize_workers.engines.endings import error_of, outcome_of
from stepsize_workers.trainers.base import Checkpoint, Diverged, Params, Trainer
from stepsize_workers.trainers.registry import NoTrainerError, TrainerNotFoundError, load_trainer, trainers_in

Say = Callable[[str], None]


class _NobodyReadsError(BaseException):
    """Whoever read the lines has gone, as `head` does: the trial ends, whatever its trainer would catch."""


class ForegroundContext:
    """A `TrialContext` that prints what a trainer reports; nobody prunes it, and Ctrl-C stops it."""

    def __init__(self, params: Params, *, seed: int, device: str, data_dir: Path, directory: Path, say: Say) -> None:
        self.params = params
        self.seed = seed
        self.attempt = 1
        self.device = device
        self.data_dir = data_dir
        self.checkpoint: Checkpoint | None = None
        self.values: dict[str, float] = {}
        self._directory = directory
        self._say = say
        self._last: tuple[int, dict[str, float]] | None = None
        self._started = time.monotonic()

    def report(self, step: int, values: Mapping[str, float]) -> bool:
        step = check_step(step)
        numbers = check_values(values)
        for name, number in numbers.items():
            if not is_finite(number):
                raise Diverged(f"{name} became {number} at step {step}", step=step)
        if (step, numbers) == self._last:  # frameworks like to evaluate once more at the end
            return False
        if self._last is not None and step <= self._last[0]:
            raise ValueError(f"step {step} was reported after step {self._last[0]}; steps must rise")
        elapsed_s = time.monotonic() - self._started
        self._say(json.dumps({"step": step, "values": numbers, "elapsed_s": round(elapsed_s, 3)}))
        self._last = (step, numbers)
        self.values |= numbers
        return False

    def should_stop(self) -> bool:
        return False

    def save_checkpoint(self, step: int, write: Callable[[Path], None]) -> None:
        check_step(step)
        write(self._directory / "checkpoint")

    def artifact(self, name: str) -> Path:
        path = self._directory / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def figure(self, name: str, picture: str | bytes) -> None:
        file, content = check_figure(name, picture)
        self.artifact(file).write_bytes(content)

    def note_data(self, content_hash: str) -> None:
        check_name(content_hash, what="data set's content")

    def remark(self, text: str) -> None:
        self._say(json.dumps({"remark": text}, ensure_ascii=False))


def find_trainer(wanted: str, name: str | None) -> type[Trainer[Params]]:
    """Return the trainer of a file, or the one of this name.

    Raises:
        LookupError, ValueError: there is none, or more than one and nothing says which.
        ImportError: the file can't be imported.
    """
    path = Path(wanted)
    if path.suffix != ".py":
        return load_trainer(wanted)
    found = {trainer.name: trainer for trainer in trainers_in(_read_anew(path))}
    if name is not None and name not in found:
        raise TrainerNotFoundError(name, sorted(found))
    if not found:
        raise NoTrainerError(wanted)
    if name is None and len(found) > 1:
        raise ValueError(f"{wanted} defines {', '.join(sorted(found))}: say which with --trainer")
    return found[name] if name is not None else next(iter(found.values()))


def _read_anew(path: Path) -> ModuleType:
    if not path.exists():
        raise LookupError(f"there is no file {path}")
    sys.path.insert(0, str(path.parent.resolve()))  # modules beside it are found, as a worker started there finds them
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise LookupError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # of any kind: none of them is wrong usage of this command
        raise ImportError(f"{path} can't be imported: {error_of(error)}") from error
    return module


def read_params(trainer: type[Trainer[Params]], pairs: Sequence[str]) -> Params:
    """Return the trainer's parameters, defaults filled in.

    Raises:
        ValueError: it names each wrong one, and what would do.
    """
    given = read_scalars(pairs)
    known = trainer.Params.model_fields
    for name in given:
        if name not in known:
            raise ValueError(f"{name}: {trainer.name} has no such parameter; known: {', '.join(known)}")
    try:
        return trainer.Params.model_validate(given)
    except ValidationError as error:
        raise ValueError("; ".join(f"{each['loc'][0]}: {_in_words(each)}" for each in error.errors())) from None


def _in_words(wrong: ErrorDetails) -> str:
    return pydantic_words(wrong["type"], wrong.get("ctx", {}), wrong["msg"])


def run(trainer: type[Trainer[Params]], context: ForegroundContext) -> dict[str, object]:
    """Run the trial to its end and return how that was, as a worker would judge it."""
    try:
        trainer().train(context)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a trainer may fail in any way
        outcome = outcome_of(error)
        if outcome is not Outcome.ERROR:
            return {"state": "infeasible", "reason": outcome.value, "error": str(error)}
        traceback.print_exc()
        return {"state": "failed", "reason": outcome.value, "error": str(error_of(error))}
    if not_reported := unreported_error(trainer.default_objectives, context.values):
        return {"state": "failed", "reason": Outcome.ERROR.value, "error": str(not_reported)}
    return {"state": "completed", "values": context.values}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one trial and return the exit code: 0 where it completed, 1 where it didn't, 2 for wrong usage.

    What the trainer itself prints goes to standard error, out of the way of the lines of JSON.
    """
    out = sys.stdout

    def say(line: str) -> None:
        try:
            print(line, file=out, flush=True)
        except BrokenPipeError:
            raise _NobodyReadsError from None

    try:
        with redirect_stdout(sys.stderr):
            return _try(arguments, say)
    except _NobodyReadsError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # what is left would be tried again at the end
        return 1


def _try(arguments: Sequence[str] | None, say: Say) -> int:
    parser = argparse.ArgumentParser(prog="stepsize try", description="Run one trial here, without a service.")
    parser.add_argument("trainer", help="a file that defines a trainer, or a trainer's name")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="repeat it for more")
    parser.add_argument("--trainer", dest="name", help="which one, where the file defines several")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="", help="cpu or cuda:0; by default a GPU where torch sees one")
    parser.add_argument("--data-dir", type=Path, default=Path("stepsize-data"))
    parser.add_argument("--output", type=Path, help="keep the trial's files here")
    given = parser.parse_args(arguments)
    try:
        trainer = find_trainer(given.trainer, given.name)
        trainer.card()
        params = read_params(trainer, given.param)
        device = _device(given.device)
    except (LookupError, ValueError) as error:
        sys.stderr.write(f"stepsize: {error}\n")
        return 2
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's file may fail in any way
        traceback.print_exc()
        sys.stderr.write(f"stepsize: {error_of(error)}\n")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        directory = given.output or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        context = ForegroundContext(
            params,
            seed=given.seed,
            device=device,
            data_dir=given.data_dir.resolve(),
            directory=directory,
            say=say,
        )
        try:
            end = run(trainer, context)
        except KeyboardInterrupt:
            end = {"state": "cancelled", "values": context.values}
    say(json.dumps(end))
    return 0 if end["state"] == "completed" else 1


def _device(wanted: str) -> str:
    """Return the device that was asked for; of none, a GPU where torch sees one.

    Raises:
        ValueError: there is none of this name.
    """
    if not wanted:
        torch = sys.modules.get("torch")  # a trainer that needs a GPU has imported it
        return "cuda:0" if torch is not None and torch.cuda.is_available() else "cpu"
    if wanted != "cpu":
        known = ["cpu", *(f"cuda:{index}" for index in range(import_module("torch").cuda.device_count()))]
        if wanted not in known:
            raise ValueError(f"--device: there is no {wanted!r} here; {hint(wanted, known)}")
    return wanted


def _own_output() -> TextIO:
    """Return standard output, to which from now on nothing else of this process or its children writes."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


if __name__ == "__main__":
    sys.stdout = _own_output()
    sys.exit(main())
