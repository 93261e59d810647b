"""The metrics, one class for each."""

from __future__ import annotations

from typing import Any

from gaudi_lab.emulator.device import events
from gaudi_lab.emulator.device.events import EventId
from gaudi_lab.emulator.process import flags
from gaudi_lab.emulator.process.release import release


class Metric:
    """Counts some kinds of events from `start` to `stop`."""

    counted: tuple[EventId, ...]
    _name = ""

    def __init__(self) -> None:
        self._handles: list[tuple[EventId, int]] = []
        self.reset()

    def name(self) -> str:
        """Return the metric's name."""
        return self._name

    def start(self) -> None:
        """Count from now on."""
        if not self._handles:
            self._handles = [events.subscribe(event, self._listener(event)) for event in self.counted]

    def stop(self) -> None:
        """Count no more; what was counted can still be read."""
        for handle in self._handles:
            events.unsubscribe(handle)
        self._handles = []

    def reset(self) -> None:
        """Start from zero."""
        raise NotImplementedError

    def stats(self) -> list[tuple[str, Any]]:
        """Return the counts as (tag, value) pairs."""
        raise NotImplementedError

    def _listener(self, event: EventId) -> events.Callback:
        return lambda timestamp, params: self._count(event, dict(params))

    def _count(self, event: EventId, params: dict[str, str]) -> None:
        raise NotImplementedError


class GraphCompilationMetric(Metric):
    """Graphs compiled, and the time that took (µs)."""

    _name = "graph_compilation"
    counted = (EventId.GRAPH_COMPILATION,)

    def __init__(self) -> None:
        self._recipes: list[tuple[str, float]] = []
        super().__init__()

    def reset(self) -> None:
        """Start from zero. Up to 1.20 the list of recipes stays as it is."""
        self._number = 0
        self._total = 0.0
        if release() >= (1, 21):
            self._recipes = []

    def _count(self, event: EventId, params: dict[str, str]) -> None:
        micros = float(params["duration"])
        self._number += 1
        self._total += micros
        self._recipes.append((params["recipe"], micros))

    def stats(self) -> list[tuple[str, Any]]:
        """Return TotalNumber, TotalTime (µs), AvgTime (µs), and each recipe if PT_HPU_METRICS_GC_DETAILS is set."""
        stats: list[tuple[str, Any]] = [
            ("TotalNumber", self._number),
            ("TotalTime", self._total),
            ("AvgTime", self._total / self._number if self._number else 0),
        ]
        if flags.get("PT_HPU_METRICS_GC_DETAILS"):
            stats.append(("recipe", list(self._recipes)))
        return stats


class CpuFallbackMetric(Metric):
    """Operators that ran on the host, outside any graph."""

    _name = "cpu_fallback"
    counted = (EventId.CPU_FALLBACK,)

    def reset(self) -> None:
        """Start from zero."""
        self._operators: dict[str, int] = {}

    def _count(self, event: EventId, params: dict[str, str]) -> None:
        _add(self._operators, params["op_name"])

    def stats(self) -> list[tuple[str, Any]]:
        """Return TotalNumber and FallbackOps (operator -> times)."""
        return [("TotalNumber", sum(self._operators.values())), ("FallbackOps", dict(self._operators))]


class MemoryDefragmentationMetric(Metric):
    """Defragmentations of device memory (ms). The host's memory needs none, so none happen."""

    _name = "memory_defragmentation"
    counted = (EventId.MEMORY_DEFRAGMENTATION,)

    def reset(self) -> None:
        """Start from zero."""
        self._times: list[float] = []
        self._successful = 0

    def _count(self, event: EventId, params: dict[str, str]) -> None:
        self._times.append(float(params["milliseconds"]))
        self._successful += params["success"] == "True"

    def stats(self) -> list[tuple[str, Any]]:
        """Return TotalNumber, TotalSuccessful, AvgTime (ms) and MaxTime (ms)."""
        number = len(self._times)
        return [
            ("TotalNumber", number),
            ("TotalSuccessful", self._successful),
            ("AvgTime", sum(self._times) / number if number else 0),
            ("MaxTime", max(self._times, default=0)),
        ]


class RecipeCacheMetric(Metric):
    """Graphs that were run and had been compiled before, or had not."""

    _name = "recipe_cache"
    counted = (EventId.CACHE_HIT, EventId.CACHE_MISS)

    def reset(self) -> None:
        """Start from zero."""
        self._found: dict[EventId, dict[str, int]] = {event: {} for event in self.counted}

    def _count(self, event: EventId, params: dict[str, str]) -> None:
        _add(self._found[event], params["recipe_id"])

    def stats(self) -> list[tuple[str, Any]]:
        """Return TotalHit, RecipeHit (recipe -> times), TotalMiss and RecipeMiss."""
        stats: list[tuple[str, Any]] = []
        for event, tag in zip(self.counted, ("Hit", "Miss"), strict=True):
            found = self._found[event]
            stats += [(f"Total{tag}", sum(found.values())), (f"Recipe{tag}", dict(found))]
        return stats


def _add(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


__all__ = [
    "CpuFallbackMetric",
    "GraphCompilationMetric",
    "MemoryDefragmentationMetric",
    "Metric",
    "RecipeCacheMetric",
]
