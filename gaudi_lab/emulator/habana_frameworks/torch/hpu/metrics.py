"""Metrics of the bridge: what really happened, counted from the device's events. Times are in microseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gaudi_lab.emulator import events
from gaudi_lab.emulator.events import EventId, Params


class MetricNotFound(Exception):
    """There is no metric of that name."""


class Metric:
    """Counts one kind of event from `start` to `stop`."""

    event: EventId

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle: tuple[EventId, int] | None = None
        self.reset()

    def name(self) -> str:
        """Return the metric's name."""
        return self._name

    def start(self) -> None:
        """Count from now on."""
        if self._handle is None:
            self._handle = events.subscribe(self.event, self._count)

    def stop(self) -> None:
        """Count no more; what was counted can still be read."""
        if self._handle is not None:
            events.unsubscribe(self._handle)
            self._handle = None

    def reset(self) -> None:
        """Start from zero."""
        raise NotImplementedError

    def stats(self) -> list[tuple[str, Any]]:
        """Return the counts as (tag, value) pairs."""
        raise NotImplementedError

    def _count(self, timestamp: int, params: Params) -> None:
        raise NotImplementedError


class GraphCompilation(Metric):
    """Graphs compiled, and the time that took (µs)."""

    event = EventId.GRAPH_COMPILATION

    def reset(self) -> None:
        """Start from zero."""
        self._recipes: list[tuple[str, float]] = []

    def _count(self, timestamp: int, params: Params) -> None:
        values = dict(params)
        self._recipes.append((values["recipe"], float(values["duration"])))

    def stats(self) -> list[tuple[str, Any]]:
        """Return TotalNumber, TotalTime (µs), AvgTime (µs), and each recipe if PT_HPU_METRICS_GC_DETAILS is set."""
        import os

        number = len(self._recipes)
        total = sum(micros for _, micros in self._recipes)
        stats: list[tuple[str, Any]] = [
            ("TotalNumber", number),
            ("TotalTime", total),
            ("AvgTime", total / number if number else 0),
        ]
        if os.environ.get("PT_HPU_METRICS_GC_DETAILS", "0").lower() in ("1", "true"):
            stats.append(("recipe", list(self._recipes)))
        return stats


class CpuFallback(Metric):
    """Operators that ran on the host, outside any graph."""

    event = EventId.CPU_FALLBACK

    def reset(self) -> None:
        """Start from zero."""
        self._operators: dict[str, int] = {}

    def _count(self, timestamp: int, params: Params) -> None:
        name = dict(params)["op_name"]
        self._operators[name] = self._operators.get(name, 0) + 1

    def stats(self) -> list[tuple[str, Any]]:
        """Return TotalNumber and FallbackOps (operator -> times)."""
        return [("TotalNumber", sum(self._operators.values())), ("FallbackOps", dict(self._operators))]


_KINDS: dict[str, Callable[[str], Metric]] = {
    "graph_compilation": GraphCompilation,
    "cpu_fallback": CpuFallback,
}


def _started(name: str) -> Metric:
    metric = _KINDS[name](name)
    metric.start()
    return metric


_global = {name: _started(name) for name in _KINDS}


def metric_global(name: str) -> Metric | None:
    """Return the metric `name` that counts since the bridge was loaded; None if there is none."""
    return _global.get(name)


@contextmanager
def metric_localcontext(name: str) -> Iterator[Metric]:
    """Count `name` inside the `with`. The metric can still be read afterwards.

    Raises
    ------
    MetricNotFound
        There is no such metric.
    """
    if name not in _KINDS:
        raise MetricNotFound(name)
    metric = _started(name)
    try:
        yield metric
    finally:
        metric.stop()
