"""Playing jobs out on a real database with a scripted engine, in one thread; a worker may be lost at any moment."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepsize.domain.job import Job, JobReason, JobState
from stepsize.domain.trainer import TrainerCard
from stepsize.domain.trial import Trial
from stepsize.store.database import Database
from stepsize.store.jobs import get_job
from stepsize.store.leases import claim_job
from stepsize.store.trials import load_trials
from stepsize_workers.engines.base import Engine
from stepsize_workers.holder import JobHolder, hold_job
from stepsize_workers.site import Asks, Site
from tests.builders import expire_lease, make_job, make_spec
from tests.fake_engine import FakeEngine, Script

_MOST_TURNS = 20_000


def take_over(
    database: Database,
    job_id: str,
    engine: Engine,
    data_dir: Path,
    *,
    owner: str = "worker",
    analyst: Asks | None = None,
    cards: Sequence[TrainerCard] = (),
) -> JobHolder:
    """Let a worker claim a job and rebuild its search; it must be claimable."""
    with database.write() as connection:
        claimed = claim_job(connection, job_id, owner=owner, lease_s=600.0)
    assert claimed is not None, f"job {job_id} is not claimable"
    by_name: dict[tuple[str, str | None], TrainerCard] = {(card.name, card.version): card for card in cards}
    holder = hold_job(*claimed, Site(database, engine, owner, data_dir, by_name, analyst=analyst))
    holder.restore()
    return holder


@dataclass
class Stage:
    """Where jobs are played."""

    database: Database
    data_dir: Path
    analyst: Asks | None = None
    """Whom workers ask for answers; None: jobs have none."""
    cards: Sequence[TrainerCard] = ()
    """Of the trainers that workers offer."""

    def add(self, *, job: dict[str, Any] | None = None, **changes: Any) -> str:
        """Record a job; `job` are fields of NewJob, `changes` replace fields of the spec."""
        with self.database.write() as connection:
            return make_job(connection, spec=make_spec(**changes), **job or {}).id

    def job(self, job_id: str) -> Job:
        with self.database.read() as connection:
            return get_job(connection, job_id)

    def trials(self, job_id: str) -> list[Trial]:
        with self.database.read() as connection:
            return load_trials(connection, job_id)

    def outcome(self, job_id: str) -> tuple[JobState, JobReason | None]:
        job = self.job(job_id)
        return job.state, job.reason

    def do(self, action: Callable[..., object], *arguments: Any) -> None:
        with self.database.write() as connection:
            action(connection, *arguments)

    def claim(self, job_id: str, engine: Engine) -> JobHolder:
        """Let a worker take the job over."""
        return take_over(self.database, job_id, engine, self.data_dir, analyst=self.analyst, cards=self.cards)

    def play(
        self,
        job_id: str,
        script: Script,
        *,
        n_slots: int = 1,
        kill_chance: float = 0.0,
        seed: int = 0,
        until: Callable[[list[Trial]], bool] | None = None,
    ) -> Job:
        """Run a job until it leaves its worker, or its trials are so; the worker is lost with a chance each turn."""
        moments = random.Random(seed)
        engine = FakeEngine(script, n_slots=n_slots)
        holder = self.claim(job_id, engine)
        for _ in range(_MOST_TURNS):
            if holder.is_over or (until and until(self.trials(job_id))):
                break
            if moments.random() < kill_chance:
                self.do(expire_lease, job_id)
                engine = FakeEngine(script, n_slots=n_slots)
                holder = self.claim(job_id, engine)
            turn(holder, engine)
        else:
            raise AssertionError("the job never ends")
        return self.job(job_id)


def turn(holder: JobHolder, engine: FakeEngine) -> None:
    """One round of a worker: look, hear, start, settle."""
    holder.look()
    holder.handle(engine.poll(0.0))
    holder.start(engine.free_slots()[: holder.wants_slots()])
    holder.settle()
