"""Workers: who is alive, with which slots and trainers."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, case, delete, or_, select, update

from stepsize.clock import now
from stepsize.domain.trainer import TrainerCard
from stepsize.store.database import db_now
from stepsize.store.models import workers

FORGET_AFTER_S = 86_400.0
"""Workers not seen for a day are dropped from the list."""


@dataclass(frozen=True)
class SlotRecord:
    """One place a trial can run, as its worker advertises it."""

    index: int
    device: str
    gpus: float
    cpus: int


@dataclass(frozen=True)
class Worker:
    """A worker as the record has it; `alive` is judged by the database's clock."""

    id: str
    host: str
    pid: int
    version: str
    slots: tuple[SlotRecord, ...]
    trainers: tuple[TrainerCard, ...]
    started_at: float
    last_seen: float
    alive: bool


def register_worker(connection: Connection, worker: Worker) -> None:
    """Record a worker at its start, in place of its own former self, and drop those long gone."""
    connection.execute(
        delete(workers).where(or_(workers.c.id == worker.id, workers.c.last_seen < db_now() - FORGET_AFTER_S))
    )
    connection.execute(
        workers.insert().values(
            id=worker.id,
            host=worker.host,
            pid=worker.pid,
            version=worker.version,
            slots=[asdict(slot) for slot in worker.slots],
            trainers=[card.model_dump(mode="json") for card in worker.trainers],
            started_at=now(),
            last_seen=db_now(),
        )
    )


def mark_seen(connection: Connection, worker_id: str) -> None:
    """Note that a worker lives."""
    connection.execute(update(workers).where(workers.c.id == worker_id).values(last_seen=db_now()))


def remove_worker(connection: Connection, worker_id: str) -> None:
    """Forget a worker that stopped cleanly."""
    connection.execute(delete(workers).where(workers.c.id == worker_id))


def list_workers(connection: Connection, *, lease_s: float) -> list[Worker]:
    """Return the workers seen within a day; alive are those seen within the last lease."""
    alive = case((workers.c.last_seen > db_now() - lease_s, True), else_=False).label("alive")
    columns = [column for column in workers.c if column.name != "project"]
    remembered = select(*columns, alive).where(workers.c.last_seen >= db_now() - FORGET_AFTER_S)
    rows = connection.execute(remembered.order_by(workers.c.started_at, workers.c.id))
    return [_worker(dict(row._mapping)) for row in rows]


def _worker(data: dict[str, Any]) -> Worker:
    data["slots"] = tuple(SlotRecord(**slot) for slot in data["slots"])
    data["trainers"] = tuple(TrainerCard.model_validate(card) for card in data["trainers"])
    data["alive"] = bool(data["alive"])
    return Worker(**data)
