"""A worker process, from its command line to its end."""

import argparse
import os
import sys

import structlog
from pydantic import TypeAdapter

from stepsize.asking.analyst import Analyst
from stepsize.children.ties import die_with
from stepsize.domain.trainer import TrainerCard
from stepsize.logs import configure_logs
from stepsize.settings import Settings
from stepsize.store.database import Database
from stepsize_workers.engines.devices import detect_slots
from stepsize_workers.engines.local import LocalEngine, Preload
from stepsize_workers.loop import WorkerLoop
from stepsize_workers.signals import obey_signals
from stepsize_workers.trainers.registry import SNAPSHOT, extra_cards

log = structlog.get_logger()


def main() -> None:
    """Run a worker as the environment and the command line say, until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m stepsize_workers", description=main.__doc__)
    parser.add_argument("--slots", type=int, default=None, help="slots instead of one per GPU or share of the cores")
    n_slots = parser.parse_args().slots
    settings = Settings()
    settings.make_data_dir()
    configure_logs(settings.log_level)
    if parent := os.environ.get("STEPSIZE_PARENT_PID"):
        die_with(int(parent))
    cards = _cards(settings.trainer_modules)
    preload = Preload([card.name for card in cards], settings.trainer_modules)
    engine = LocalEngine(detect_slots(n_slots or settings.slots), preload)
    analyst = Analyst(settings.url)
    worker = WorkerLoop(
        Database(settings.url, pool_size=3),
        engine,
        settings,
        cards,
        worker_id=os.environ.get("STEPSIZE_WORKER_ID"),
        analyst=analyst,
    )
    obey_signals(worker.stop)
    ran_to_its_end = worker.run()
    analyst.close()
    if not ran_to_its_end:
        sys.exit("the worker could not go on; its log says why")


def _cards(extras: list[str]) -> list[TrainerCard]:
    """Return the cards of all trainers, the built-in ones' from the snapshot: this process never imports torch."""
    built_in = TypeAdapter(list[TrainerCard]).validate_json(SNAPSHOT.read_bytes())
    others, problems = extra_cards(extras)
    for problem in problems:
        log.warning("trainer left out", reason=problem)
    return built_in + others
