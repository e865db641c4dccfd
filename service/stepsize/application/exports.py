"""Everything a job has recorded, as flat rows: the same columns for CSV, JSON lines and Parquet."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from stepsize.clock import rfc3339
from stepsize.domain.trial import Report, Trial
from stepsize.spec.provenance import Provenance
from stepsize.spec.space import Scalar
from stepsize.store.database import Database
from stepsize.store.exports import iter_reports, iter_trials, metric_names, param_names
from stepsize.store.jobs import get_job
from stepsize.store.provenances import find_provenances, provenance_shares

Rows = Literal["trials", "reports"]
Cell = Scalar | None
Row = dict[str, Cell]
"""Column → value; parameters are `params.NAME`, metrics `values.NAME`, of the provenance `ran_with.NAME`."""
Nested = dict[str, "Cell | Nested"]
_PACKAGES = "ran_with.packages."


def iter_rows(database: Database, job_id: str, rows: Rows) -> Iterator[list[Row]]:
    """Yield a job's trials or reports, chunk by chunk."""
    if rows == "reports":
        yield from ([_report_row(report) for report in chunk] for chunk in iter_reports(database, job_id))
        return
    ran_with: dict[str | None, Row] = {None: _ran_with(Provenance())}
    for chunk in iter_trials(database, job_id):
        ran_with |= _provenance_rows(database, job_id, {trial.provenance for trial in chunk} - ran_with.keys())
        yield [_trial_row(trial, ran_with.get(trial.provenance, ran_with[None])) for trial in chunk]


def column_names(database: Database, job_id: str, rows: Rows, some: Iterable[Row]) -> list[str]:
    """Return every column that occurs: the fixed ones, which any rows have, then packages, parameters, and metrics."""
    found = [name for row in some for name in row if not name.startswith(("params.", "values."))]
    fixed = dict.fromkeys([*found, *(_package_names(database, job_id) if rows == "trials" else [])])
    params = param_names(database, job_id) if rows == "trials" else []
    metrics = metric_names(database, job_id, of_reports=rows == "reports")
    return [*fixed, *(f"params.{name}" for name in params), *(f"values.{name}" for name in metrics)]


def iter_csv(database: Database, job_id: str, rows: Rows) -> Iterator[str]:
    """Yield CSV (RFC 4180) with a header; the database finds the columns, so memory stays constant."""
    names = column_names(database, job_id, rows, next(iter_rows(database, job_id, rows), []))
    yield _csv_lines(names, [dict(zip(names, names, strict=True))])
    for chunk in iter_rows(database, job_id, rows):
        yield _csv_lines(names, chunk)


def iter_jsonl(database: Database, job_id: str, rows: Rows) -> Iterator[str]:
    """Yield one JSON object a line."""
    for chunk in iter_rows(database, job_id, rows):
        yield "".join(json.dumps(_nested(row), ensure_ascii=False) + "\n" for row in chunk)


def _package_names(database: Database, job_id: str) -> list[str]:
    """Return the columns of all packages that any of a job's trials ran with."""
    with database.read() as connection:
        shares = provenance_shares(connection, job_id, project=get_job(connection, job_id).project)
    return [name for share in shares for name in _ran_with(share.provenance) if name.startswith(_PACKAGES)]


def _provenance_rows(database: Database, job_id: str, ids: Iterable[str | None]) -> dict[str | None, Row]:
    wanted = [one for one in ids if one is not None]
    if not wanted:
        return {}
    with database.read() as connection:
        found = find_provenances(connection, wanted, project=get_job(connection, job_id).project)
    return {one: _ran_with(provenance) for one, provenance in found.items()}


def _ran_with(provenance: Provenance) -> Row:
    plain = provenance.model_dump(mode="json", exclude={"packages"})
    return _prefixed("ran_with", plain) | _prefixed(_PACKAGES.removesuffix("."), provenance.packages)


def _trial_row(trial: Trial, ran_with: Row) -> Row:
    ended = trial.started_at is not None and trial.finished_at is not None
    row: Row = {
        "job_id": trial.job_id,
        "number": trial.number,
        "state": trial.state.value,
        "reason": trial.reason and trial.reason.value,
        "step": trial.step,
        "attempt": trial.attempt,
        "losses_of_worker": trial.losses_of_worker,
        "purpose": trial.purpose.value,
        "replicate_of": trial.replicate_of,
        "seed": trial.seed,
        "device": trial.device,
        "worker": trial.worker,
        "started_at": trial.started_at and rfc3339(trial.started_at),
        "finished_at": trial.finished_at and rfc3339(trial.finished_at),
        "duration_s": max(0.0, (trial.finished_at or 0.0) - (trial.started_at or 0.0)) if ended else None,
        "gpu_seconds": trial.gpu_seconds,
        "provenance": trial.provenance,
        "group.id": trial.group.id if trial.group else None,
        "group.size": trial.group.size if trial.group else None,
        "group.how": trial.group.how.value if trial.group else None,
        "group.why": trial.group.why if trial.group else None,
        "error": str(trial.error) if trial.error else None,
    }
    return row | ran_with | _prefixed("params", trial.params) | _prefixed("values", trial.values)


def _report_row(report: Report) -> Row:
    row: Row = {"number": report.number, "step": report.step, "elapsed_s": report.elapsed_s}
    return row | _prefixed("values", report.values)


def _prefixed(prefix: str, entries: Mapping[str, Cell]) -> Row:
    return {f"{prefix}.{name}": value for name, value in entries.items()}


def _nested(row: Row) -> Nested:
    """Return a row as the API shows it: parameters, metrics, the group and the provenance in objects of their own."""
    plain: Nested = {}
    parts: dict[str, Row] = {"params": {}, "values": {}, "group": {}, "ran_with": {}}
    for name, value in row.items():
        prefix, _, entry = name.partition(".")
        if prefix in parts and entry:
            parts[prefix][entry] = value
        else:
            plain[name] = value
    if "state" not in row:
        plain["values"] = {**parts["values"]}
        return plain
    group, ran_with = parts["group"], parts["ran_with"]
    plain["group"] = None if group["id"] is None else {**group}
    plain["ran_with"] = None if row["provenance"] is None else _with_packages(ran_with)
    plain["params"], plain["values"] = {**parts["params"]}, {**parts["values"]}
    return plain


def _with_packages(ran_with: Row) -> Nested:
    plain: Nested = {name: told for name, told in ran_with.items() if not name.startswith("packages.")}
    plain["packages"] = {
        name.removeprefix("packages."): told for name, told in ran_with.items() if name.startswith("packages.")
    }
    return plain


def _csv_lines(names: list[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([["" if row.get(name) is None else row[name] for name in names] for row in rows])
    return text.getvalue()
