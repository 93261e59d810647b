"""Metrics of the bridge: what really happened, counted from the device's events. Times are in microseconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gaudi_lab.emulator.process import flags

from .metric import CpuFallback, GraphCompilation, MemoryDefragmentation, Metric, RecipeCache
from .metrics_file import MetricDumpFormat, MetricDumpTrigger, MetricsFile, write


class MetricNotFound(Exception):
    """There is no metric of that name."""


_KINDS: dict[str, type[Metric]] = {
    "graph_compilation": GraphCompilation,
    "cpu_fallback": CpuFallback,
    "memory_defragmentation": MemoryDefragmentation,
}
if flags.get("PT_HPU_ENABLE_CACHE_METRICS"):
    _KINDS["recipe_cache"] = RecipeCache


def _start(name: str) -> Metric:
    metric = _KINDS[name](name)
    metric.start()
    return metric


_global = {name: _start(name) for name in _KINDS}


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
    metric = _start(name)
    try:
        yield metric
    finally:
        metric.stop()


def metrics_dump(file_name: str, format: MetricDumpFormat = MetricDumpFormat.json) -> None:
    """Write all metrics that count since the bridge was loaded to a file, as they are now."""
    write(file_name, format, _global.values())


_file = MetricsFile.from_environment(_global)

__all__ = [
    "Metric",
    "MetricDumpFormat",
    "MetricDumpTrigger",
    "MetricNotFound",
    "metric_global",
    "metric_localcontext",
    "metrics_dump",
]
