"""Calls about what a job may name, data sets, and who is there to work."""

from collections.abc import Mapping

from stepsize.client.answers import Dataset
from stepsize.client.calls.base import Call, delete, get, get_bytes, get_items, get_text, part
from stepsize.client.calls.results import ImageFormat, Theme
from stepsize.client.catalogue import Health, SchedulePreview, SpecEntry, TrainerEntry, Worker


def trainers() -> Call[list[TrainerEntry]]:
    """Return the trainers: the built-in ones and those that living workers offer."""
    return get_items(TrainerEntry, "/trainers")


def samplers() -> Call[list[SpecEntry]]:
    """Return the samplers."""
    return get_items(SpecEntry, "/samplers")


def pruners() -> Call[list[SpecEntry]]:
    """Return the pruners."""
    return get_items(SpecEntry, "/pruners")


def optimizers() -> Call[list[SpecEntry]]:
    """Return the optimisers."""
    return get_items(SpecEntry, "/optimizers")


def schedules() -> Call[list[SpecEntry]]:
    """Return the schedules."""
    return get_items(SpecEntry, "/schedules")


def preview_schedule(
    name: str, *, learning_rate: float = 0.01, steps: int = 100, params: Mapping[str, str | float] | None = None
) -> Call[SchedulePreview]:
    """Return how the learning rate moves over a training.

    Args:
        learning_rate: the highest rate.
        steps: length of the training.
        params: the schedule's own, such as `{"gamma": 0.8}`.
    """
    query = {**(params or {}), "learning_rate": learning_rate, "steps": steps}
    return get(SchedulePreview, f"/schedules/{part(name)}/preview", query)


def plot_schedule(
    name: str,
    *,
    learning_rate: float = 0.01,
    steps: int = 100,
    params: Mapping[str, str | float] | None = None,
    image_format: ImageFormat = "svg",
    theme: Theme = "light",
) -> Call[bytes]:
    """Return the preview of a schedule as a figure; the arguments are those of `preview_schedule`."""
    query = {**(params or {}), "learning_rate": learning_rate, "steps": steps, "theme": theme}
    return get_bytes(f"/schedules/{part(name)}/preview/plot.{image_format}", query)


def datasets() -> Call[list[Dataset]]:
    """Return all data sets: built-in ones, then the users' own."""
    return get_items(Dataset, "/datasets")


def dataset(name: str) -> Call[Dataset]:
    """Return one data set."""
    return get(Dataset, f"/datasets/{part(name)}")


def delete_dataset(name: str) -> Call[None]:
    """Delete a data set of your own."""
    return delete(f"/datasets/{part(name)}")


def workers() -> Call[list[Worker]]:
    """Return the workers seen within a day: their slots, and what runs where."""
    return get_items(Worker, "/workers")


def metrics() -> Call[str]:
    """Return what monitoring reads, in Prometheus' text format."""
    return get_text("//metrics", accept="text/plain")


def is_alive() -> Call[Health]:
    """Return that the service is there."""
    return get(Health, "//healthz")


def is_ready() -> Call[Health]:
    """Return that the service and its database are of use; a refusal says what is wrong with them."""
    return get(Health, "//readyz")
