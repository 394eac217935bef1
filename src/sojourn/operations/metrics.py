"""A program's metrics in Prometheus' form, each declared once with its meaning: registry, page and tests follow that.

Law: a label's values are words of fixed lists or names that administrators configured (sites, routes); never a study, a
title, a column, a dataset or a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sojourn import __version__
from sojourn.operations.readiness import Readiness

Reading = float | Mapping[str, float]
Read = Callable[[], Reading]
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class Declared:
    """One metric. label: its only label, with `values` saying where that one's values come from.

    words: the label's values that are known beforehand, shown from the start. buckets: upper bounds of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    label: str = ""
    values: str = ""
    words: Sequence[str] = ()
    buckets: tuple[float, ...] = SECONDS


def of_store(program: str) -> tuple[Declared, ...]:
    """The metrics of a program's store and log."""
    said = (
        Declared("commit_seconds", "histogram", "How long a commit of the store took."),
        Declared(
            "commit_writes", "histogram", "How many writes shared one commit.", buckets=(1, 2, 5, 10, 20, 50, 100)
        ),
        Declared("log_entries", "gauge", "Entries in the audit log."),
        Declared("log_checkpoint_age_seconds", "gauge", "Time since the log's latest checkpoint."),
        Declared("tamper_attempts_total", "counter", "Statements against the audit tables that were refused."),
        Declared("witness_refusals_total", "counter", "Logs of others that were refused as not the one seen before."),
        Declared("disk_free_bytes", "gauge", "Space that is left on the disk of the program's folder."),
        Declared(
            "not_ready",
            "gauge",
            "1 for what keeps the program from being ready, else 0.",
            label="reason",
            values="what `ready` says",
        ),
        Declared("info", "gauge", "Always 1; the label says which version runs.", label="version", values="this one"),
    )
    return tuple(replace(metric, name=f"sojourn_{program}_{metric.name}") for metric in said)


def store_gauges(
    program: str, tail: Callable[[], tuple[int, float]], clock: Callable[[], float], folder: Path, ready: Readiness
) -> dict[str, Read]:
    """The gauges among `of_store`. tail: the log's number of entries and the time of the latest (`Store.tail`)."""

    def not_ready() -> dict[str, float]:
        said = ready.reasons()
        return {word: float(word in said) for word in ready.words()}

    read: dict[str, Read] = {
        "log_entries": lambda: tail()[0],
        "log_checkpoint_age_seconds": lambda: clock() - tail()[1],
        "disk_free_bytes": lambda: disk_usage(folder).free,
        "not_ready": not_ready,
        "info": lambda: {__version__: 1.0},
    }
    return {f"sojourn_{program}_{name}": reading for name, reading in read.items()}


class Metrics:
    """One program's registry: counters and histograms that events move, gauges that are read when somebody asks."""

    def __init__(self, declared: Sequence[Declared], gauges: Mapping[str, Read]) -> None:
        self._own = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in declared:
            self._declare(metric)
        read = {metric: gauges[metric.name] for metric in declared if metric.kind == "gauge"}
        self._own.register(_Gauges(read))
        ProcessCollector(registry=self._own)
        self.registry = CollectorRegistry()
        self.registry.register(_Shown(self._own))

    def count(self, name: str, word: str = "", amount: float = 1) -> None:
        """Move a counter on."""
        counter = self._counters[name]
        (counter.labels(word) if word else counter).inc(amount)

    def observe(self, name: str, value: float, word: str = "") -> None:
        """Add a value to a histogram."""
        histogram = self._histograms[name]
        (histogram.labels(word) if word else histogram).observe(value)

    def text(self) -> str:
        """All metrics in Prometheus' text form."""
        return generate_latest(self.registry).decode()

    def _declare(self, metric: Declared) -> None:
        labels = (metric.label,) if metric.label else ()
        if metric.kind == "counter":
            counter = Counter(metric.name, metric.meaning, labels, registry=self._own)
            self._counters[metric.name] = counter
            for word in metric.words:
                counter.labels(word)
        elif metric.kind == "histogram":
            self._histograms[metric.name] = Histogram(
                metric.name, metric.meaning, labels, registry=self._own, buckets=metric.buckets
            )


class _Gauges(Collector):
    def __init__(self, read: Mapping[Declared, Read]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        for metric, read in self._read.items():
            family = GaugeMetricFamily(metric.name, metric.meaning, labels=[metric.label] if metric.label else [])
            try:
                found = read()
            except Exception:  # a store that cannot be read is said by `not_ready`; the others are still shown
                continue
            for word, value in found.items() if isinstance(found, Mapping) else [("", found)]:
                family.add_metric([word] if metric.label else [], value)
            yield family


class _Shown(Collector):
    """Without the times at which series were made, which no rule uses."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
