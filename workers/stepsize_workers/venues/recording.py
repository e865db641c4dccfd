"""What trials in slots have said, and how they go on or end, as it is written."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from stepsize.domain.trial import Report, TrialError, TrialReason, TrialState
from stepsize.store.columns import GroupColumn, TrialColumns
from stepsize.store.ledger import Ledger
from stepsize_workers.engines.base import CheckpointSaved, Event, Grouped, Measured, Reported
from stepsize_workers.venues.conclusions import Conclusion, Running


def report_of(event: Reported) -> Report:
    """Return the measurement that a trial has sent, as the record has it."""
    return Report(event.key.number, event.step, event.values, event.elapsed_s)


def outdated_checkpoints(events: Sequence[Event], under_way: Mapping[int, Running]) -> list[tuple[int, int]]:
    """Return the checkpoints, as number and step, that nobody needs once these events are written.

    Args:
        under_way: number → trial, as it was before the events.
    """
    saved: dict[int, list[int]] = defaultdict(list)
    for event in events:
        if isinstance(event, CheckpointSaved):
            saved[event.key.number].append(event.step)
    outdated: list[tuple[int, int]] = []
    for number, steps in saved.items():
        before = under_way[number].checkpoint_step
        older = steps[:-1] if before is None else [before, *steps[:-1]]
        outdated += [(number, step) for step in older if step != steps[-1]]
    return outdated


def record_events(ledger: Ledger, events: Sequence[Event], under_way: Mapping[int, Running]) -> None:
    """Write every report, and how far the trials are that go on.

    Args:
        under_way: number → trial; others only report: `record_conclusion` writes all else about them.
    """
    ledger.add_reports([report_of(event) for event in events if isinstance(event, Reported)])
    for number in {event.key.number for event in events} & under_way.keys():
        run = under_way[number]
        ledger.touch_trial(
            number,
            step=run.step,
            values=run.values,
            checkpoint_step=run.checkpoint_step,
            losses_in_a_row=run.losses_in_a_row,
        )
    for number in {event.key.number for event in events if isinstance(event, Grouped | Measured)} & under_way.keys():
        group = under_way[number].group
        ledger.touch_trial(number, group=asdict(group) if group else None)


def record_conclusion(ledger: Ledger, conclusion: Conclusion, *, study_attrs: Mapping[str, object]) -> None:
    """Write how a trial goes on or ends.

    Args:
        study_attrs: what Optuna keeps with it.
    """
    run, number = conclusion.run, conclusion.run.key.number
    group = conclusion.group or run.group
    place: GroupColumn = {} if group is None else {"group": asdict(group)}
    if conclusion.is_requeued:
        ledger.requeue_trial(
            number,
            checkpoint_step=run.checkpoint_step,
            gpu_seconds=conclusion.gpu_seconds,
            losses_of_worker=run.losses_of_worker + run.shutting_down,
            losses_in_a_row=run.losses_in_a_row if run.shutting_down else 0,  # a worker that ends in order is not lost
            **place,
        )
        return
    error = conclusion.error
    columns = TrialColumns(
        reason=conclusion.reason,
        step=run.step,
        values=run.values,
        objective=conclusion.values[0] if conclusion.values else None,
        study_attrs=dict(study_attrs),
        error={"type": error.type, "message": error.message} if error else None,
        artifacts=list(conclusion.artifacts),
        data_hash=run.data_hash,
        remark=run.remark,
    )
    if group is not None:
        columns["group"] = asdict(group)
    if run.provenance is not None:
        columns["provenance"] = ledger.note_provenance(run.provenance)
    ledger.move_trial(number, TrialState.RUNNING, conclusion.state, gpu_seconds=conclusion.gpu_seconds, **columns)


def record_refusal(ledger: Ledger, number: int, why: TrialError) -> None:
    """Write that a trial fails of words that can't be written; what was written before stays."""
    ledger.move_trial(
        number,
        TrialState.RUNNING,
        TrialState.FAILED,
        reason=TrialReason.ERROR,
        error={"type": why.type, "message": why.message},
    )
