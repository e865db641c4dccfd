"""What monitoring reads at `/metrics`: what this process does, and what the record holds.

No label is open-ended: routes are named by their templates, methods and statuses are HTTP's own, states are ours.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepsize import __version__
from stepsize.application.census import CensusReading
from stepsize.domain.job import JobState
from stepsize.domain.trial import TrialState
from stepsize.store.census import Census

OTHER = "other"
"""The route of requests that reach none: refused, unknown, or a file of the documentation."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""From a 304 to the longest wait for a suggestion."""


class Metrics:
    """One an API process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Info("stepsize_build", "What answers here.", registry=self._registry).info({"version": __version__})
        self._requests = Counter(
            "stepsize_http_requests",
            "Requests answered, by route template and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._latency = Histogram(
            "stepsize_http_request_duration_seconds",
            "Seconds from a request to the head of its answer.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._streams = Gauge("stepsize_event_streams_open", "Event streams open.", ("of",), registry=self._registry)
        self._waiting = Gauge(
            "stepsize_suggestion_waiters", "Requests that wait for a suggestion.", registry=self._registry
        )

    def note(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(method, route).observe(duration_s)

    def watch(self, *, streams: Mapping[str, Callable[[], int]], waiters: Callable[[], int]) -> None:
        """Say who knows how many streams are open and how many wait; they are asked at each scrape."""
        for name, count in streams.items():
            self._streams.labels(name).set_function(count)
        self._waiting.set_function(waiters)

    def expose(self, reading: CensusReading, *, accept: str) -> tuple[bytes, str]:
        """Return everything in the format that a scraper takes, and the format's media type."""
        encode, media_type = choose_encoder(accept)
        return encode(_Exposition(self._registry, reading)), media_type


class Stopwatch:
    """Counts and times every request. The outermost layer: what others refuse counts too."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def noting_send(message: Message) -> None:
            # The head and not the end: a stream is open for hours.
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in _METHODS else OTHER
                self._metrics.note(method, _template(scope), message["status"], time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, noting_send)


class _Exposition:
    """What the process has counted, then what the record holds."""

    def __init__(self, registry: CollectorRegistry, reading: CensusReading) -> None:
        self._registry = registry
        self._reading = reading

    def collect(self) -> Iterable[Metric]:
        """Yield every family of metrics."""
        yield from self._registry.collect()
        is_up = self._reading.census is not None
        yield _gauge("stepsize_database_up", "1 if the database answers.", int(is_up))
        if self._reading.round_trip_s is not None:
            about = "Seconds the database took for the smallest of questions."
            yield _gauge("stepsize_database_round_trip_seconds", about, self._reading.round_trip_s)
        if self._reading.census is not None:
            yield from _counts(self._reading.census)


def _counts(census: Census) -> Iterator[Metric]:
    yield _by_state("stepsize_jobs", "Jobs in the record, by state.", census.jobs)
    yield _by_state("stepsize_trials", "Trials in the record, by state.", census.trials)
    yield _gauge("stepsize_workers_alive", "Workers seen within the last lease.", census.n_workers)
    yield _gauge("stepsize_slots", "Slots of workers alive.", census.n_slots)
    yield _gauge("stepsize_slots_busy", "Slots of workers alive in which trials run.", census.n_busy_slots)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value)


def _by_state(name: str, about: str, counts: Mapping[JobState, int] | Mapping[TrialState, int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=["state"])
    for state, n in counts.items():
        family.add_metric([state], n)
    return family


def _template(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", None) or OTHER
