"""The bridge's profiler of the host."""

from __future__ import annotations

import json
import os

import torch


def test_what_ran_between_start_and_stop_is_written_at_flush(device, tmp_path, monkeypatch):
    import habana_frameworks.torch.low_overhead_profiler.profiler as lop

    monkeypatch.chdir(tmp_path)
    x = torch.ones(4)
    lop.flush()
    assert not list(tmp_path.iterdir())
    x.exp()
    lop.start()
    for _ in range(3):
        x.tanh()
    lop.stop()
    x.cosh()
    lop.flush()
    metrics = json.loads((tmp_path / f"metrics_pid{os.getpid()}.json").read_text())
    assert metrics["aten::tanh"]["calls"] == 3
    assert metrics["aten::tanh"]["microseconds"] > 0
    assert not {"aten::exp", "aten::cosh"} & set(metrics)
    events = json.loads((tmp_path / f"events_pid{os.getpid()}.json").read_text())
    assert any(event.get("name") == "aten::tanh" for event in events["traceEvents"])
