"""What is asked of the metrics and is not there."""


class MetricNotFound(Exception):
    """There is no metric of that name."""


class InvalidMetricDumpTrigger(Exception):
    """There is no such moment at which metrics are written."""


class InvalidMetricDumpFileFormat(Exception):
    """Metrics are not written in such a way."""
