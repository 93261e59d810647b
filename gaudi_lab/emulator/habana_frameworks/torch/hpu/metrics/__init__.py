"""Metrics of the bridge: what really happened, counted from the device's events. Times are in microseconds."""

from .counters import Metric
from .exceptions import InvalidMetricDumpFileFormat, InvalidMetricDumpTrigger, MetricNotFound
from .metrics import metric_global, metric_localcontext, metrics_dump
from .saver import MetricDumpFormat, MetricDumpTrigger

__all__ = [
    "InvalidMetricDumpFileFormat",
    "InvalidMetricDumpTrigger",
    "Metric",
    "MetricDumpFormat",
    "MetricDumpTrigger",
    "MetricNotFound",
    "metric_global",
    "metric_localcontext",
    "metrics_dump",
]
