"""Workers: who is alive, with which slots and trainers."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Double, Text, bindparam, case, cast, delete, or_, select, update

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
    return [_worker(dict(row._mapping)) for row in connection.execute(_SELECT_WORKERS, {"of_lease_s": lease_s})]


_LEASE_AGO = db_now() - bindparam("of_lease_s", type_=Double)
# Built once: every look at a queued job asks who could run it.
_SELECT_WORKERS = (
    select(
        *(column for column in workers.c if column.name not in ("project", "trainers")),
        cast(workers.c.trainers, Text).label("trainers"),
        case((workers.c.last_seen > _LEASE_AGO, True), else_=False).label("alive"),
    )
    .where(workers.c.last_seen >= db_now() - FORGET_AFTER_S)
    .order_by(workers.c.started_at, workers.c.id)
)


def _worker(data: dict[str, Any]) -> Worker:
    data["slots"] = tuple(SlotRecord(**slot) for slot in data["slots"])
    data["trainers"] = _cards(data["trainers"])
    data["alive"] = bool(data["alive"])
    return Worker(**data)


@lru_cache(maxsize=16)
def _cards(text: str) -> tuple[TrainerCard, ...]:
    """Return the cards a worker advertises; workers of one version advertise the same, and say so once."""
    return tuple(TypeAdapter(list[TrainerCard]).validate_json(text))
