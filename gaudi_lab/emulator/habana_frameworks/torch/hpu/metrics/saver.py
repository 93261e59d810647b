"""Metrics in files: written on request, and by ``PT_HPU_METRICS_FILE`` while the program runs."""

from __future__ import annotations

import atexit
import enum
import json
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from gaudi_lab.emulator.device import events
from gaudi_lab.emulator.device.events import EventId
from gaudi_lab.emulator.process.release import release

from .counters import Metric


class MetricDumpFormat(enum.Enum):
    """How a file of metrics is written."""

    json = "json"
    text = "text"


# Since 1.21 metrics are pulled, and nothing happens at the moment at which one changes.
MetricDumpTrigger = enum.Enum(  # type: ignore[misc]
    "MetricDumpTrigger",
    ["process_exit", "user"]
    if release() >= (1, 21)
    else ["user", "process_exit", "mark_step", "metric_change"],
)

_EVENTS = {
    "mark_step": (EventId.MARK_STEP,),
    "metric_change": (EventId.GRAPH_COMPILATION, EventId.CPU_FALLBACK, EventId.MEMORY_DEFRAGMENTATION),
}


def write(path: str, format: MetricDumpFormat, metrics: Iterable[Metric]) -> None:
    """Write `metrics` as they are now to a new file."""
    with open(_free_name(path), "w", encoding="utf-8") as file:
        entries = [_entry(metric, "user") for metric in metrics]
        file.write(json.dumps(entries, indent=2) if format is MetricDumpFormat.json else _text(entries))


class MetricsFile:
    """The file that ``PT_HPU_METRICS_FILE`` names. Its array is closed when the process ends."""

    def __init__(
        self, path: str, format: MetricDumpFormat, triggers: Iterable[str], metrics: Mapping[str, Metric]
    ) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # a bare file name fails here, as on hardware
        self._file: TextIO = open(_free_name(path), "w", encoding="utf-8")  # noqa: SIM115 - open until exit
        self._format = format
        self._metrics = metrics
        self._written = 0
        names = [MetricDumpTrigger[name].name for name in triggers]
        for name in names:
            for event in _EVENTS.get(name, ()):
                events.subscribe(event, lambda timestamp, params, name=name: self._dump(name))  # type: ignore[misc]
        atexit.register(self._close, "process_exit" in names)

    @classmethod
    def from_environment(cls, metrics: Mapping[str, Metric]) -> MetricsFile | None:
        """Return the file that the environment asks for; None if it asks for none.

        Raises
        ------
        KeyError
            ``PT_HPU_METRICS_DUMP_TRIGGERS`` names a trigger that this release does not have.
        """
        path = _setting("FILE")
        if not path:
            return None
        rank = os.environ.get("RANK") or os.environ.get("OMPI_COMM_WORLD_RANK")
        if rank is not None:
            stem, extension = os.path.splitext(path)
            path = f"{stem}-rank{rank}{extension}"
        triggers = (_setting("DUMP_TRIGGERS") or "process_exit").split(",")
        return cls(path, MetricDumpFormat[_setting("FILE_FORMAT") or "json"], triggers, metrics)

    def _dump(self, trigger: str) -> None:
        for metric in self._metrics.values():
            entry = _entry(metric, trigger)
            if self._format is MetricDumpFormat.text:
                self._file.write(_text([entry]))
            else:
                self._file.write(("," if self._written else "[") + "\n" + json.dumps(entry, indent=2))
            self._written += 1
        self._file.flush()

    def _close(self, dump: bool) -> None:
        if dump:
            self._dump("process_exit")
        if self._format is MetricDumpFormat.json:
            self._file.write("\n]\n" if self._written else "[]\n")
        self._file.close()


def _setting(name: str) -> str | None:
    return os.environ.get(f"PT_HPU_METRICS_{name}") or os.environ.get(f"HABANA_PT_METRICS_{name}")


def _free_name(path: str) -> str:
    """Return `path`, or with ``.1``, ``.2`` ... behind it where a file is there already."""
    number, free = 0, path
    while os.path.exists(free):
        number += 1
        free = f"{path}.{number}"
    return free


def _entry(metric: Metric, trigger: str) -> dict[str, Any]:
    return {
        "metric_name": metric.name(),
        "triggered_by": trigger,
        "generated_on": time.strftime("%d-%m-%Y %H:%M:%S"),
        "statistics": dict(metric.stats()),
    }


def _text(entries: Iterable[dict[str, Any]]) -> str:
    lines = []
    for entry in entries:
        lines.append(
            f"{entry['metric_name']} (triggered by {entry['triggered_by']}, {entry['generated_on']})"
        )
        lines += [f"  {tag}: {value}" for tag, value in entry["statistics"].items()]
    return "\n".join(lines) + "\n"
