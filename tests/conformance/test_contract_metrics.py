"""Section D: metrics, timing, memory and the device."""

from __future__ import annotations

import json
import time

import pytest
import torch
from contract import covers
from fresh import run
from torch import nn

from gaudi_lab import bridge, emulator


@pytest.fixture(autouse=True)
def lazy():
    bridge.load()
    emulator.set_lazy(True)
    yield
    emulator.set_lazy(False)


@covers("graph-compilation-metric")
def test_graph_compilation(monkeypatch):
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.hpu.metrics import metric_localcontext

    monkeypatch.delenv("PT_HPU_METRICS_GC_DETAILS", raising=False)
    x = torch.ones(13, 3, device="hpu")
    htcore.mark_step()
    started = time.perf_counter()
    with metric_localcontext("graph_compilation") as metric:
        y = x.cosh()
        htcore.mark_step()
        z = (y + x).sinh()
        htcore.mark_step()
    micros = (time.perf_counter() - started) * 1e6
    assert z.shape == (13, 3)
    stats = dict(metric.stats())
    assert list(stats) == ["TotalNumber", "TotalTime", "AvgTime"]
    assert stats["TotalNumber"] == 2
    assert 0 < stats["TotalTime"] < micros
    assert stats["AvgTime"] == pytest.approx(stats["TotalTime"] / 2)
    monkeypatch.setenv("PT_HPU_METRICS_GC_DETAILS", "1")
    assert len(metric.stats()[3][1]) == 2
    metric.reset()
    assert metric.stats()[0] == ("TotalNumber", 0)
    emulator.set_lazy(False)
    with metric_localcontext("graph_compilation") as metric:
        x.cosh().sinh()
    assert metric.stats()[0] == ("TotalNumber", 0)


@covers("cpu-fallback-metric")
def test_cpu_fallback():
    from habana_frameworks.torch.hpu.metrics import metric_localcontext

    with metric_localcontext("cpu_fallback") as metric:
        torch.nonzero(torch.ones(3, device="hpu"))
    stats = dict(metric.stats())
    assert stats["TotalNumber"] == 1
    assert sum(stats["FallbackOps"].values()) == 1
    assert "nonzero" in next(iter(stats["FallbackOps"]))


@covers("memory-defragmentation-metric", "unknown-metric")
def test_other_metrics():
    from habana_frameworks.torch.hpu.metrics import MetricNotFound, metric_global, metric_localcontext

    stats = metric_global("memory_defragmentation").stats()
    assert [tag for tag, _ in stats] == ["TotalNumber", "TotalSuccessful", "AvgTime", "MaxTime"]
    assert metric_global("nothing") is None
    with pytest.raises(MetricNotFound), metric_localcontext("nothing"):
        pass
    assert metric_global("graph_compilation").name() == "graph_compilation"


@covers("recipe-cache-metric", "metrics-file")
def test_metrics_file(tmp_path):
    path = tmp_path / "logs" / "metrics.json"
    code = """
        import torch, habana_frameworks.torch as ht, habana_frameworks.torch.core as htcore
        from habana_frameworks.torch.hpu.metrics import metric_global, metrics_dump
        x = torch.ones(3, device="hpu")
        for _ in range(3):
            y = x * 2
            htcore.mark_step()
        metric = metric_global("recipe_cache")
        result["cache"] = None if metric is None else metric.stats()
    """
    settings = {"PT_HPU_METRICS_FILE": str(path), "PT_HPU_LAZY_MODE": "1"}
    found = run(code, PT_HPU_ENABLE_CACHE_METRICS="1", RANK="2", **settings)
    cache = dict(found["cache"])
    assert (cache["TotalMiss"], cache["TotalHit"]) == (2, 1)  # the first graph also makes `x`
    entries = json.loads((tmp_path / "logs" / "metrics-rank2.json").read_text())
    assert {entry["triggered_by"] for entry in entries} == {"process_exit"}
    assert set(entries[0]) == {"metric_name", "triggered_by", "generated_on", "statistics"}

    triggers = {"GAUDI_LAB_BRIDGE_VERSION": "1.20", "PT_HPU_METRICS_DUMP_TRIGGERS": "process_exit,mark_step"}
    path.touch()
    assert run(code, **settings, **triggers)["cache"] is None
    entries = json.loads((tmp_path / "logs" / "metrics.json.1").read_text())
    assert {entry["triggered_by"] for entry in entries} == {"process_exit", "mark_step"}
    found = run(
        """
        try:
            import habana_frameworks.torch
        except KeyError as error:
            result["error"] = str(error)
        """,
        PT_HPU_METRICS_DUMP_TRIGGERS="process_exit,metric_change",
        **settings,
    )
    assert found["error"] == "'metric_change'"


def test_metrics_dump(tmp_path):
    from habana_frameworks.torch.hpu.metrics import MetricDumpFormat, metrics_dump

    metrics_dump(str(tmp_path / "m.json"))
    assert json.loads((tmp_path / "m.json").read_text())[0]["triggered_by"] == "user"
    metrics_dump(str(tmp_path / "m.json"), format=MetricDumpFormat.text)
    assert "TotalNumber" in (tmp_path / "m.json.1").read_text()


@covers("event-dispatcher")
def test_event_dispatcher():
    import habana_frameworks.torch.core as htcore
    from habana_frameworks.torch.utils.event_dispatcher import EventDispatcher, EventId

    dispatcher = EventDispatcher.instance()
    handle = dispatcher.subscribe(EventId.MARK_STEP)
    htcore.mark_step()
    htcore.mark_step()
    seen = []
    dispatcher.process(handle, seen.append)
    assert len(seen) == 2
    dispatcher.unsubscribe(handle)
    found = run(
        """
        import torch, habana_frameworks.torch, habana_frameworks.torch.core as htcore
        from habana_frameworks.torch.utils.event_dispatcher import EventDispatcher, EventId
        seen = []
        EventDispatcher.instance().subscribe(EventId.GRAPH_COMPILATION, lambda at, params: seen.append(dict(params)))
        torch.ones(3, device="hpu") + 1
        htcore.mark_step()
        result["keys"] = sorted(seen[0])
        """,
        GAUDI_LAB_BRIDGE_VERSION="1.19",
    )
    assert found["keys"] == ["duration", "recipe"]


@covers("recompilation")
def test_recompilation(tmp_path, capsys, caplog):
    from habana_frameworks.torch.utils.experimental import (
        const_shape_dataloader,
        data_dynamicity,
        detect_recompilation_auto_model,
    )

    model = nn.Sequential(nn.Linear(4, 6), nn.Softsign()).to("hpu")
    watched = detect_recompilation_auto_model(model, waittime=0, csv_out=str(tmp_path / "out"))
    for n in (21, 22, 21):
        watched(torch.ones(n, 4, device="hpu"))
    watched.analyse_dynamicity()
    assert "Net.0" in capsys.readouterr().out
    assert (tmp_path / "out_1.csv").read_text().startswith("module,calls")
    assert (tmp_path / "out_2.csv").exists()
    assert len(watched.raw_logs()) == 9
    batches = [torch.ones(2)] * 20 + [torch.ones(3)]
    assert data_dynamicity(batches) == {((2,),): 20, ((3,),): 1}
    assert "There is a little dynamicity" in caplog.text
    assert len(list(const_shape_dataloader(batches, 20))) == 20
    emulator.set_lazy(False)
    with pytest.raises(AssertionError):
        detect_recompilation_auto_model(nn.Linear(1, 1))


@covers("memory")
def test_memory():
    from habana_frameworks.torch import hpu

    hpu.synchronize()
    before = hpu.memory_stats()
    assert list(before) == [
        "Limit", "InUse", "MaxInUse", "NumAllocs", "NumFrees", "ActiveAllocs", "MaxAllocSize",
        "TotalSystemAllocs", "TotalSystemFrees", "TotalActiveAllocs",
    ]  # fmt: skip
    x = torch.empty(1 << 20, device="hpu")
    view = x[10:].reshape(-1)
    hpu.synchronize()
    assert hpu.memory_allocated() - before["InUse"] == 4 << 20
    assert hpu.max_memory_allocated() >= hpu.memory_allocated()
    assert hpu.mem_get_info() == (before["Limit"] - hpu.memory_allocated(), before["Limit"])
    assert hpu.memory_reserved() == before["Limit"]
    del x, view
    assert hpu.memory_allocated() == before["InUse"]
    hpu.reset_peak_memory_stats()
    assert hpu.max_memory_allocated() == hpu.memory_allocated()
    hpu.reset_accumulated_memory_stats()
    assert hpu.memory_stats()["NumAllocs"] == 0
    assert {"workspace", "persistent", "max_in_use"} <= set(hpu.memory._extended_memory_summary_dict())
    assert "InUse" in hpu.memory_summary()


@covers("events")
def test_events():
    from habana_frameworks.torch import hpu

    start, end = hpu.Event(enable_timing=True), hpu.Event(enable_timing=True)
    start.record()
    time.sleep(0.02)
    end.record()
    end.synchronize()
    assert 20 <= start.elapsed_time(end) < 2000
    assert end.query()
    with pytest.raises(RuntimeError, match="enable_timing"):
        hpu.Event().elapsed_time(end)


@covers("acquire")
def test_acquire():
    found = run(
        """
        import torch, habana_frameworks.torch as ht
        result["available"] = torch.hpu.is_available(), torch.hpu.device_count(), torch.hpu.is_initialized()
        torch.hpu.memory_allocated()
        result["acquired"] = torch.hpu.is_initialized()
        """
    )
    assert found["available"] == [True, 1, False]
    assert found["acquired"] is True


@covers("metric-reset-by-release")
@pytest.mark.parametrize(("release", "left"), [("1.19", 1), ("1.23", 0)])
def test_reset_keeps_the_recipes_of_an_older_release(release, left):
    found = run(
        """
        import torch, habana_frameworks.torch.core as htcore
        from habana_frameworks.torch.hpu.metrics import metric_global
        torch.ones(3, device="hpu") + 1
        htcore.mark_step()
        metric = metric_global("graph_compilation")
        before = metric.stats()
        metric.reset()
        result["before"], result["after"] = before, metric.stats()
        """,
        GAUDI_LAB_BRIDGE_VERSION=release,
        PT_HPU_LAZY_MODE="1",
        PT_HPU_METRICS_GC_DETAILS="1",
    )
    assert found["before"][0] == ["TotalNumber", 1]
    assert len(found["before"][3][1]) == 1
    assert found["after"][0] == ["TotalNumber", 0]
    assert len(found["after"][3][1]) == left
