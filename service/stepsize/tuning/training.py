"""One process that trains: it takes a trial after the other until there are no more."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stepsize.client.errors import ClientError, ServerUnreachableError
from stepsize.client.external import SuggestedTrial
from stepsize.client.http import Client
from stepsize.infeasibility import Diverged, is_out_of_memory
from stepsize.spec.provenance import Provenance
from stepsize.tuning.seat import taken_seat
from stepsize.tuning.trial import Outcome, TuneTrial

Train = Callable[[TuneTrial], Outcome]

LEASE_S = 30.0
"""Renewed every third of it, so that a training may take as long as it likes between two reports."""
_WAIT_S = 20.0
_WHY_NOT = {
    "no_worker": "no worker of the service is alive to propose trials; it goes on once one is: `stepsize worker`",
    "paused": "the job is paused; it goes on once it is resumed",
}


@dataclass(frozen=True)
class Assignment:
    """What a process is to do."""

    server: str
    job_id: str
    train: Train
    objectives: tuple[str, ...]
    provenance: Provenance
    raises: bool
    """Whether the first exception of the function ends it all."""


def work(assignment: Assignment, *, after_trial: Callable[[Client], None] = lambda _: None) -> None:
    """Train until the job gives out no more trials.

    Args:
        after_trial: called between two trials.

    Raises:
        ClientError: the service refuses or is gone; the job can be gone on with.
        Exception: of the function, where the assignment says so.
    """
    with Client(assignment.server) as client, taken_seat(assignment.job_id) as seat:
        is_new, told = True, ""
        while True:
            found = client.suggest(
                assignment.job_id,
                client_id=seat.client_id,
                lease_s=LEASE_S,
                wait_s=_WAIT_S,
                restarted=is_new,
                interrupted=is_new and seat.was_interrupted,
                provenance=assignment.provenance,
            )
            for suggested in found.trials:
                is_new = False
                _run(client, assignment, suggested)
                after_trial(client)
            if found.why_empty == "finished":
                return
            if found.why_empty in _WHY_NOT and told != found.why_empty:
                told = found.why_empty
                say(_WHY_NOT[told])


def _run(client: Client, assignment: Assignment, suggested: SuggestedTrial) -> None:
    trial = TuneTrial(client.external_trial(assignment.job_id, suggested), assignment.objectives)
    try:
        with _renewed(client, assignment.job_id, suggested, trial):
            outcome = assignment.train(trial)
        trial.end(outcome)
    except ServerUnreachableError:
        raise  # not the function's fault: the trial is begun anew once the service is back
    except Diverged:
        if not trial.should_stop:
            trial.diverge()
    except Exception as error:
        if is_out_of_memory(error):
            trial.run_out_of_memory()
            return
        trial.fail(error)
        if assignment.raises:
            raise
        say(f"trial {trial.number} failed: {type(error).__name__}: {error}")


@contextmanager
def _renewed(client: Client, job_id: str, suggested: SuggestedTrial, trial: TuneTrial) -> Iterator[None]:
    """Keep a trial's lease alive beside its training, and hear in between whether it is to stop."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE_S / 3):
            try:
                verdict = client.report_trial(job_id, suggested.number, lease_token=suggested.lease.token)
            except ClientError:  # the next report tells the function, if it still holds by then
                continue
            if verdict.should_stop:
                trial.stop(verdict.reason or "user")

    thread = threading.Thread(target=renew, name="stepsize-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def say(line: str) -> None:
    """Write a line to standard error, where notebooks show it too."""
    sys.stderr.write(f"stepsize: {line}\n")
    sys.stderr.flush()
