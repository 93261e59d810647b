"""Which metrics there are, and where they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gaudi_lab.emulator.process import flags

from .counters import (
    CpuFallbackMetric,
    GraphCompilationMetric,
    MemoryDefragmentationMetric,
    Metric,
    RecipeCacheMetric,
)
from .exceptions import MetricNotFound
from .saver import MetricDumpFormat, MetricsFile, write

_KINDS: dict[str, type[Metric]] = {
    "graph_compilation": GraphCompilationMetric,
    "cpu_fallback": CpuFallbackMetric,
    "memory_defragmentation": MemoryDefragmentationMetric,
}
if flags.get("PT_HPU_ENABLE_CACHE_METRICS"):
    _KINDS["recipe_cache"] = RecipeCacheMetric


def _start(name: str) -> Metric:
    metric = _KINDS[name]()
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
        raise MetricNotFound(f"Metric with given name ({name}) doesn't exist.")
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
    "CpuFallbackMetric",
    "GraphCompilationMetric",
    "MemoryDefragmentationMetric",
    "Metric",
    "RecipeCacheMetric",
    "metric_global",
    "metric_localcontext",
    "metrics_dump",
]
