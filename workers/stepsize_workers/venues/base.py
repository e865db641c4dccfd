"""What a venue is: where the trials of one job come to life, and from where is heard what becomes of them.

A job's holder (`stepsize_workers.holder`) says what is to happen, its tuner what is to be tried; a venue brings trials
to life, writes what is heard of them into the record, and tells the tuner once that is committed. Obligations:
  * what is told to the tuner, or answered to a trial, is in the record already;
  * the job's lease guards each write: all of them go through `HeldJob.transact`;
  * `restore` leaves the tuner with the search that the record describes, whoever had the job before;
  * drafts that did not make it into the record are handed back (`Tuner.settle_drafts`).
A venue that uses none of this worker's slots wants none, is given none, and hears no events.
"""

from collections.abc import Sequence
from typing import Protocol

from stepsize.domain.trial import Trial
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Event


class Venue(Protocol):
    """Where the trials of one job come to life."""

    @property
    def n_running(self) -> int:
        """Trials under way, without whose end the job can't be settled."""

    @property
    def queued(self) -> Sequence[Trial]:
        """Trials of the record that wait to come to life, by number, as last read."""

    def restore(self) -> None:
        """Take over what the record has, and let the tuner rebuild the search from it."""

    def rebuild(self) -> None:
        """The search space has changed: let the tuner rebuild the search from the record."""

    def look(self) -> None:
        """Look at what has been asked for and heard since, and act on it; refreshes the job."""

    def has_news(self) -> bool:
        """Tell whether the record has something that was not looked at, where that is how trials are heard of."""

    def tend(self) -> None:
        """Do what is due before the job is settled: what only time brings, and what is to be kept ready."""

    def requeued(self) -> None:
        """Trials have been queued by this worker itself: see them."""

    def fits(self, slot: SlotRecord) -> bool:
        """Tell whether the slot has what a trial of this job needs."""

    def wants_slots(self) -> int:
        """Return how many more slots could be put to use now."""

    def start(self, slots: Sequence[SlotRecord]) -> None:
        """Bring trials to life in these free slots, as far as there are any to start."""

    def handle(self, events: Sequence[Event], *, may_refill: bool = True) -> None:
        """Take in what this worker's engine says of the job's trials.

        Args:
            may_refill: whether free places of its groups may be filled with new trials: nobody else waits for slots.
        """

    def shut_down(self) -> bool:
        """The worker is ending: make the running trials ready for whoever takes the job next.

        Returns:
            Whether they go on without this worker, so that the job may change hands at once; otherwise each is requeued
            as it ends.
        """

    def abandon(self) -> None:
        """The lease is lost: end the trials that run here, and write nothing more."""
