"""The slot process: one device, kept warm, runs one group of trials after another and never touches the database.

Started as `stepsize_workers.engines.slot WIRE_FD LIFELINE_FD …`, tied to its worker: the kernel kills it when the
worker dies (PR_SET_PDEATHSIG), and a thread ends it when the lifeline pipe closes.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepsize.domain.said import clean_text
from stepsize.spec.space import Scalar
from stepsize_workers.engines.base import Assignment, Begun, Ended, Fault, Grouped, Measured, Mode, Outcome, Stop
from stepsize_workers.engines.context import SlotContext
from stepsize_workers.engines.endings import error_of, outcome_of
from stepsize_workers.engines.group import SlotGroup
from stepsize_workers.engines.origin import provenance_of
from stepsize_workers.engines.surroundings import Surroundings
from stepsize_workers.engines.trial_log import GroupLog, TrialLog
from stepsize_workers.engines.wire import WIRE_CLOSED, Group, Joiners, SlotEnd, take_up
from stepsize_workers.trainers.base import NotFusedError, Params, Sweep, Trainer
from stepsize_workers.trainers.registry import load_trainer

_LOG_CHECK_S = 0.5
_PRELOAD_AFTER_IDLE_S = 0.5
GROUP_LOG = "group-log.txt"
"""Beside the first trial's log, while a group is trained: what all of its trials write."""
FUSED = "its shape is that of the others, and its trainer trains them as one"
_KILL_FIRST = "500"
"""Added, of 1000, to what the kernel holds against this process when memory runs out: the service must not be it."""


def run_assignment(wire: SlotEnd, assignment: Assignment, device: str, modules: Iterable[str]) -> Ended:
    """Run one attempt of a trial to its end, whatever that end is."""
    started = time.monotonic()
    surroundings = Surroundings.note()
    context: SlotContext | None = None
    outcome, error = Outcome.COMPLETED, None
    artifacts: tuple[str, ...] = ()
    try:
        with TrialLog(assignment.trial_dir / "log.txt") as log:
            try:
                trainer = load_trainer(assignment.trainer, modules)
                context = SlotContext(wire, assignment, trainer.Params(**_as_keywords(assignment.params)), device)
                wire.send(Begun(assignment.key, provenance_of(trainer, device)))
                _train(trainer(), context, assignment)
                outcome = Outcome.STOPPED if context.should_stop() else outcome
            except BaseException as exception:  # noqa: BLE001 - a trial's failure is a result, told to the worker
                log.write_traceback()
                outcome, error = outcome_of(exception), error_of(exception)
            artifacts = context.artifacts() if context else ()
    except OSError as exception:  # the log can't be written, or the files can't be read
        outcome, error = Outcome.ERROR, error_of(exception)
    if context:
        context.end()
    is_restored = _restore(surroundings)
    ended = Ended(assignment.key, outcome, error, artifacts, time.monotonic() - started)
    if context:
        ended = replace(ended, data_hash=context.data_hash, remark=context.last_remark)
    return replace(ended, leaves_traces=not is_restored)


def run_group(wire: SlotEnd, group: Group, device: str, modules: Iterable[str]) -> None:
    """Train a group of trials as one, to the end of each; if that can't be, run the first and hand the others back."""
    first, *others = group.members
    why = _why_not_fused(first, modules)
    if why is None and group.places.measures:
        try:
            rates = _measure(wire, group, device, modules)
        except Exception as error:  # noqa: BLE001 - run alone, the trial is told of it if it is its own
            why = clean_text(f"they can't be measured together: {error}")
        else:
            wire.send(Measured(first.key, tuple(rates)))
            answered = _await_company(wire, group)
            if answered is None:
                wire.send(Ended(first.key, Outcome.STOPPED))
                return
            if answered.places.n == 1:
                wire.send(run_assignment(wire, first, device, modules))
                return
            group, others = answered, list(answered.members[1:])
    why = why or _train_group(wire, group, device, modules)
    if why is None:
        return
    wire.send(Grouped(first.key, is_fused=False, why=why))
    for other in others:
        wire.send(Ended(other.key, Outcome.RETURNED, fault=Fault.OTHER))
    wire.send(run_assignment(wire, first, device, modules))


def _why_not_fused(first: Assignment, modules: Iterable[str]) -> str | None:
    """Return why trials like this one can't be trained as one; one that can't even say runs alone, and fails."""
    try:
        trainer = load_trainer(first.trainer, modules)
        why = trainer.why_not_fused(trainer.Params(**_as_keywords(first.params)))
    except Exception as error:  # noqa: BLE001 - the first trial, run alone, is told of it
        why = f"{type(error).__name__}: {error}"
    return None if why is None else clean_text(why)


def _measure(wire: SlotEnd, group: Group, device: str, modules: Iterable[str]) -> Sequence[float]:
    """Return how fast trials like the first of a group train together, by 1, 2, 4, … of them."""
    (first,) = group.members
    surroundings = Surroundings.note()
    with TrialLog(first.trial_dir / "log.txt"):
        trainer = load_trainer(first.trainer, modules)
        context = SlotContext(wire, first, trainer.Params(**_as_keywords(first.params)), device)
        try:
            return trainer().measure_together(context, most=group.places.n)
        finally:
            context.end()
            _restore(surroundings)


def _await_company(wire: SlotEnd, group: Group) -> Group | None:
    """Return a group that has measured as it is to be trained; None: its trial is to stop."""
    (first,) = group.members
    is_stopped = False
    while not isinstance(order := wire.receive(), Joiners):
        is_stopped |= isinstance(order, Stop) and order.key == first.key
    if is_stopped and not order.members:
        return None
    return Group((first, *order.members), replace(group.places, n=order.n_places or 1, measures=False))


def _train_group(wire: SlotEnd, group: Group, device: str, modules: Iterable[str]) -> str | None:
    """Train a group as one; return why it can't be, where that showed only when it was tried."""
    surroundings = Surroundings.note()
    process = os.getpid()
    first = group.members[0]
    trainer = load_trainer(first.trainer, modules)
    error: BaseException | None = None
    with GroupLog(first.trial_dir / GROUP_LOG) as log:
        members = SlotGroup(
            wire,
            group,
            lambda one: trainer.Params(**_as_keywords(one.params)),
            device,
            log,
            provenance=provenance_of(trainer, device),
        )
        try:
            wire.send(Grouped(first.key, is_fused=True, why=FUSED))
            if members.live:
                trainer().train_group(members)
        except NotFusedError as refusal:
            members.hand_back()
            _restore(surroundings)
            return clean_text(refusal)
        except BaseException as exception:  # noqa: BLE001 - a trial's failure is a result, told to the worker
            error = exception
        finally:
            if os.getpid() != process:
                _end_fork()
        members.end_all(error)
    members.tell_last(leaves_traces=not _restore(surroundings))
    return None


def _restore(surroundings: Surroundings) -> bool:
    try:
        return surroundings.restore()
    except Exception:  # noqa: BLE001 - whatever is in the way, this process is of no more use
        return False


def _train(trainer: Trainer[Params], context: SlotContext, assignment: Assignment) -> None:
    process = os.getpid()
    try:
        match assignment.mode:
            case Mode.TRAIN:
                trainer.train(context)
            case Mode.SWEEP:
                trainer.sweep(context, Sweep(**{name: assignment.details[name] for name in ("low", "high", "steps")}))
            case Mode.REFIT:
                trainer.refit(context)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    finally:
        if os.getpid() != process:
            _end_fork()


def _end_fork() -> None:
    """End a fork of the trainer's that has come back from it: how the trial ends is not for it to say."""
    failed = sys.exc_info()[0] is not None
    with suppress(Exception):
        if failed:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(int(failed))


def _as_keywords(params: Mapping[str, Scalar]) -> dict[str, Any]:
    return dict(params)


def _watch(lifeline: int) -> None:
    """End this process when the worker is gone; meanwhile keep the log within its limit."""
    with os.fdopen(lifeline, "rb", buffering=0) as pipe:
        os.set_blocking(lifeline, False)
        while True:
            if pipe.read(1) == b"":
                os._exit(1)
            with suppress(OSError):
                if log := TrialLog.current:
                    log.cap()
            time.sleep(_LOG_CHECK_S)


def _preload(names: Iterable[str], modules: Iterable[str]) -> None:
    """Import trainers while there is nothing else to do: torch alone costs about a second."""
    for name in names:
        with suppress(BaseException):  # it will be raised again, and reported, when a trial wants it
            load_trainer(name, modules)


def main(wire_fd: int, lifeline_fd: int, device: str, modules: str, preload: str) -> None:
    """Serve assignments until the worker hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which ends its slots in order
    faulthandler.enable()  # the stack of a crash in C code goes to the trial's log
    with suppress(OSError):  # where the system doesn't offer it
        Path("/proc/self/oom_score_adj").write_text(_KILL_FIRST, encoding="ascii")
    threading.Thread(target=_watch, args=(lifeline_fd,), daemon=True).start()
    TrialLog.keep_own_output()
    extra = [module for module in modules.split(",") if module]
    wire = take_up(wire_fd)
    if not wire.has_order(_PRELOAD_AFTER_IDLE_S):
        _preload([name for name in preload.split(",") if name], extra)
    try:
        while True:
            order = wire.receive()
            if isinstance(order, Assignment):
                wire.send(run_assignment(wire, order, device, extra))
            elif isinstance(order, Group):
                run_group(wire, order, device, extra)
    except EOFError:
        return
    except OSError:
        os._exit(WIRE_CLOSED)  # by the trial: there is no other way to tell


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(int(arguments[0]), int(arguments[1]), *arguments[2:])
