"""A job's trials wherever its clients train: reads what they say, judges, keeps suggestions ready.

The API writes what clients say; this reads it, in the order of its commits, in one read a wake-up. Everything the tuner
is told comes from the record that way, its own verdicts too, so that another worker that takes over at any moment has
the same search.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from stepsize.domain.job import Desired
from stepsize.domain.trial import Report, Trial, TrialReason, TrialState
from stepsize.store.changes import Changed, reports_changed, trials_changed
from stepsize.store.columns import TrialColumns
from stepsize.store.database import Connection
from stepsize.store.jobs import pick_stage
from stepsize.store.ledger import Ledger
from stepsize.store.suggestions import database_time
from stepsize.store.trials import load_reports, load_trials
from stepsize.store.workers import SlotRecord
from stepsize_workers.engines.base import Event
from stepsize_workers.held_job import HeldJob
from stepsize_workers.stopping import in_order_of_end
from stepsize_workers.tuner import Tuner
from stepsize_workers.venues.open_trials import OpenTrials
from stepsize_workers.venues.suggestions import Offered, Suggestions, cancel_trials

News = Trial | Report


@dataclass
class _Verdicts:
    """What the search says of what it was told."""

    judged: dict[int, int] = field(default_factory=dict)
    """Trial number → last step judged."""
    pruned: set[int] = field(default_factory=set)
    study_attrs: dict[int, dict[str, object]] = field(default_factory=dict)
    """What Optuna keeps with trials that have ended, where the record has it otherwise."""

    def __bool__(self) -> bool:
        return bool(self.judged or self.study_attrs)


class ClientVenue:
    """Wherever clients ask for suggestions; takes no slot."""

    def __init__(self, held: HeldJob, tuner: Tuner) -> None:
        self._held = held
        self._tuner = tuner
        self._open = OpenTrials(held)
        self._suggestions = Suggestions(held, tuner, self._open)
        self._seen = 0
        """The change up to which the record is taken in."""

    @property
    def n_running(self) -> int:
        """Trials under way; those whose client is silent count as long as they may be given to another."""
        gives = self._held.job.desired is Desired.RUN
        return len(self._open.running() if gives else self._open.live())

    @property
    def queued(self) -> Sequence[Trial]:
        return self._open.queued()

    # -- this worker's slots -----------------------------------------------------------------------------------------

    def fits(self, slot: SlotRecord) -> bool:
        return False

    def wants_slots(self) -> int:
        return 0

    def start(self, slots: Sequence[SlotRecord]) -> None:
        """No trial of this job runs here."""

    def handle(self, events: Sequence[Event], *, may_refill: bool = True) -> None:
        """No trial of this job runs here."""

    def shut_down(self) -> bool:
        return bool(self._open.running())

    def abandon(self) -> None:
        """Nothing runs here."""

    # -- taking over -------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Rebuild the search, as if the worker that had it had never gone."""
        ended = [self._tuner.end_of(trial) for trial in in_order_of_end(self._held.load_trials())]
        if any(end.lacks_stand_in for end in ended):  # that worker had not come to it
            foreseen = self._tuner.foresee(ended)
            if foreseen:
                self._held.transact(foreseen.write)
        self.rebuild()

    def rebuild(self) -> None:
        """Rebuild the search as far as it has been told of the record, then tell it the rest."""
        trials, told, untold = self._held.read(self._load_record)
        self._tuner.rebuild(trials, told)
        for trial in self._open:
            self._enter(trial)
        self._feed(untold)

    def _load_record(self, connection: Connection) -> tuple[list[Trial], list[Report], list[News]]:
        self._held.refresh(connection)
        job_id = self._held.job.id
        self._seen = self._held.job.change
        trials = load_trials(connection, job_id)
        reports = list(load_reports(connection, job_id)) if self._held.is_judged else []
        ended = self._open.adopt(trials)
        unjudged = [report for report in reports if self._open.is_unjudged(report)]
        told = [report for report in reports if not self._open.is_unjudged(report)]
        return [self._open.get(trial.number) or trial for trial in trials], told, [*unjudged, *ended]

    def _enter(self, trial: Trial) -> None:
        """Make a trial part of the search: from when it is on offer, so that no two are alike."""
        if trial.lease_token:
            self._tuner.enter(trial)

    # -- what clients say --------------------------------------------------------------------------------------------

    def look(self) -> None:
        with self._held.site.database.read() as connection:
            self._held.refresh(connection)
            self._open.time.set_by(database_time(connection))
            news = self._read_news(connection)
        self._seen = self._held.job.change
        if news:
            self._take_in(news)
        self._cancel()

    def has_news(self) -> bool:
        job = self._held.job
        return pick_stage(self._held.site.database, job.id, project=job.project).change != self._seen

    def _read_news(self, connection: Connection) -> list[News]:
        """Return what has changed since, in the order of the commits; of one commit, reports go before ends."""
        job = self._held.job
        span = {"after": self._seen, "upto": job.change}
        if span["after"] == span["upto"]:
            return []
        changed: list[Changed[Trial] | Changed[Report]] = []
        if self._held.is_judged:
            changed += reports_changed(connection, job.id, **span)
        changed += trials_changed(connection, job.id, **span)
        return [found.row for found in sorted(changed, key=lambda found: found.change)]

    def _take_in(self, news: Sequence[News]) -> None:
        trials = [row for row in news if isinstance(row, Trial)]
        ended = [trial for trial in trials if trial.state.is_finished and trial.number in self._open]
        searched = [self._tuner.end_of(trial) for trial in ended if self._held.is_searched(trial)]
        foreseen = self._tuner.foresee(searched)
        if foreseen:
            self._held.transact(foreseen.write)
        if foreseen.frees_some or any(self._open.starts_anew(trial) for trial in trials):
            # Optuna's trials forget nothing: no missing value, and nothing that an attempt has reported which was lost.
            self.rebuild()
            return
        given = foreseen.by_number
        self._feed(
            replace(row, stand_in=given[row.number]) if isinstance(row, Trial) and row.number in given else row
            for row in news
        )

    def _feed(self, news: Iterable[News]) -> None:
        """Tell the search what is in the record, and record what it says to that."""
        verdicts = _Verdicts()
        for row in news:
            if isinstance(row, Report):
                self._judge(row, verdicts)
            elif not row.state.is_finished:
                self._open.note(row)
                self._enter(row)
            elif row.number in self._open:
                self._open.forget(row.number)
                self._suggestions.saw_end(row)
                self._close(row, verdicts)
        if verdicts:
            self._held.transact(lambda ledger: self._record_verdicts(ledger, verdicts))

    def _judge(self, report: Report, verdicts: _Verdicts) -> None:
        number = report.number
        if not self._tuner.is_open(number):
            return
        verdicts.judged[number] = max(report.step, verdicts.judged.get(number, -1))
        if self._tuner.report(report):
            verdicts.pruned.add(number)

    def _close(self, trial: Trial, verdicts: _Verdicts) -> None:
        if not self._tuner.is_open(trial.number):
            return
        attrs = self._tuner.study_attrs(trial.number)
        if attrs != trial.study_attrs:
            verdicts.study_attrs[trial.number] = attrs
        self._tuner.take_in([self._tuner.end_of(trial)])

    def _record_verdicts(self, ledger: Ledger, verdicts: _Verdicts) -> None:
        for number, step in verdicts.judged.items():
            trial = self._open.get(number)
            if trial is None or not ledger.under_way.is_held(number, token=trial.lease_token):
                continue
            columns = TrialColumns(judged_step=step, study_attrs=self._tuner.study_attrs(number))
            if number in verdicts.pruned:
                columns["reason"] = TrialReason.PRUNER
                ledger.move_trial(number, TrialState.RUNNING, TrialState.PRUNED, **columns)
            else:
                ledger.touch_trial(number, **columns)
        for number, attrs in verdicts.study_attrs.items():
            ledger.touch_trial(number, study_attrs=attrs)

    # -- what clients want, and what time brings ---------------------------------------------------------------------

    def requeued(self) -> None:
        self.look()

    def _cancel(self) -> None:
        is_all = self._held.job.desired is Desired.CANCEL
        numbers = [trial.number for trial in self._open.running() if is_all or trial.cancel_requested]
        if numbers:
            user = TrialReason.USER
            self._held.transact(lambda ledger: cancel_trials(ledger, TrialState.RUNNING, numbers, user))
            self.look()

    def tend(self) -> None:
        """End what is overdue, take back what is to start no more, and keep suggestions ready; each look sees it."""
        if self._suggestions.end_overdue():
            self.look()
        if self._suggestions.withdraw():
            self.look()
        match self._suggestions.offer():
            case Offered.BEFORE:
                self.rebuild()
            case Offered.SOME:
                self.look()
            case Offered.NOTHING:
                pass
