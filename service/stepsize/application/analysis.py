"""What answers need to know of jobs: that they exist, at which changes they are, and what their numbers mean."""

from collections.abc import Sequence

from sqlalchemy import Connection

from stepsize.application.catalogue import built_in_cards
from stepsize.domain.trainer import TrainerCard
from stepsize.errors import JobNotFoundError
from stepsize.spec.job import JobSpec
from stepsize.store.changes import current_changes
from stepsize.store.workers import list_workers


def changes_of(connection: Connection, job_ids: Sequence[str]) -> tuple[int, ...]:
    """Return the current change of each job, in order: answers are the same as long as these are.

    Raises:
        JobNotFoundError: one of them doesn't exist.
    """
    found = current_changes(connection, job_ids)
    for job_id in job_ids:
        if job_id not in found:
            raise JobNotFoundError(job_id)
    return tuple(found[job_id] for job_id in job_ids)


def card_of(connection: Connection, spec: JobSpec) -> TrainerCard | None:
    """Return the card of a job's trainer, for its units; None: nobody offers it, or it runs elsewhere."""
    if spec.engine == "external":
        return None
    wanted = spec.trainer
    cards = [card for card in built_in_cards() if card.name == wanted.name]
    if not cards:
        workers = list_workers(connection, lease_s=0.0)
        cards = [card for worker in workers for card in worker.trainers if card.name == wanted.name]
    return next((card for card in cards if card.version == wanted.version), cards[0] if cards else None)
