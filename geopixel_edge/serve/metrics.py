"""What /metrics tells, in Prometheus' text form: a registry of this server's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from . import jobs

# Name, description and value of what can be read at any moment.
State = Callable[[], Iterable[tuple[str, str, float]]]
PREFIX = "geopixel_edge"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters of what was answered; what changes by itself is read from `state` when it is asked for."""

    def __init__(self, state: State) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("requests", "Answered requests", ["route", "status"], PREFIX, registry=registry)
        self.seconds = Histogram(
            "request_seconds",
            "From the request's head to the end of its answer",
            ["route"],
            PREFIX,
            registry=registry,
            buckets=SECONDS,
        )
        self.refusals = Counter(
            "refusals", "Requests refused before work, by error code", ["code"], PREFIX, registry=registry
        )
        self.blocks = Counter("block_seconds", "Seconds computed, by block", ["block"], PREFIX, registry=registry)
        self.tokens = Counter("tokens", "Tokens read, reused and written", ["kind"], PREFIX, registry=registry)
        self.together = Histogram(
            "batch_size",
            "Answers that were written in step; a drafted one is a batch of its own",
            [],
            PREFIX,
            registry=registry,
            buckets=(1, 2, 4, 8),
        )
        self.images = Counter(
            "images", "Images asked about, by whether they were open already", ["cache"], PREFIX, registry=registry
        )
        self.kept_images = Gauge("kept_images", "Images kept open", [], PREFIX, registry=registry)
        self.kept_bytes = Gauge("kept_bytes", "Bytes that these take", [], PREFIX, registry=registry)
        registry.register(_Gauges(state))
        # From the first page on: a rate over a sample that appears later would miss what it began with.
        for counter, names in ((self.tokens, ("read", "reused", "written")), (self.images, ("hit", "miss"))):
            for name in names:
                counter.labels(name)

    def add(self, cost: jobs.Cost) -> None:
        """Count a finished job."""
        for block, seconds in cost.blocks.items():
            self.blocks.labels(block).inc(seconds)
        for kind, count in (("read", cost.prompt_tokens), ("reused", cost.reused_tokens), ("written", cost.new_tokens)):
            self.tokens.labels(kind).inc(count)
        for count in cost.together:
            self.together.observe(count)
        self.images.labels("hit").inc(cost.hits)
        self.images.labels("miss").inc(cost.misses)
        self.kept_images.set(cost.kept_images)
        self.kept_bytes.set(cost.kept_bytes)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        page: bytes = generate_latest(self.registry)
        return page


class _Gauges:
    """Gauges read at the moment of asking."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """One sample each."""
        for name, text, value in self._state():
            yield GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)
