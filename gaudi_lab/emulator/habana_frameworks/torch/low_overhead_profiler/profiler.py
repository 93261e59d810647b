"""Times of the host's work. The bridge times the stages of its C++; here PyTorch's profiler times every operator."""

from __future__ import annotations

import json
import os

from torch.profiler import ProfilerActivity, profile

_running: profile | None = None
_stopped: profile | None = None


def start() -> None:
    """Begin to record; what was recorded before is dropped."""
    global _running, _stopped
    stop()
    _running, _stopped = profile(activities=[ProfilerActivity.CPU]), None
    _running.start()


def stop() -> None:
    """Stop recording; nothing if nothing records."""
    global _running, _stopped
    if _running is not None:
        _running.stop()
        _running, _stopped = None, _running


def flush() -> None:
    """Stop recording and write what was recorded into this folder, under the bridge's names.

    ``events_pidN.json`` is a trace, and ``metrics_pidN.json`` has the calls of each operator and their microseconds.
    """
    global _stopped
    stop()
    if _stopped is None:
        return
    _stopped.export_chrome_trace(f"events_pid{os.getpid()}.json")
    rows = {
        row.key: {"calls": row.count, "microseconds": row.cpu_time_total} for row in _stopped.key_averages()
    }
    with open(f"metrics_pid{os.getpid()}.json", "w") as file:
        json.dump(rows, file)
    _stopped = None
