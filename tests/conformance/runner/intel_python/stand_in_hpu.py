"""Stands in for the bridge's compiled module `_hpu_C`: graphs, streams, events, memory and the device, emulated."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace
from typing import Any

import torch

from gaudi_lab.emulator.device import acquire as device
from gaudi_lab.emulator.device.memory import ledger, limit
from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.lazy.capture import Capture
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.process import flags, mode
from gaudi_lab.emulator.process.release import version

_HPU = 6  # the type's number among PyTorch's devices
_on: dict[str, bool] = {"recompute": True}

# The device


def init() -> None:
    device.acquire()


def cleanup() -> None:
    tape.flush()


def current_device() -> int:
    return 0


def device_count() -> int:
    return device.device_count()


def synchronize_device() -> None:
    tape.flush()


def get_device_name(index: int) -> str:
    return "GAUDI2"


def get_device_capability() -> str:
    return version()


def get_device_properties(index: int) -> Any:
    return SimpleNamespace(name="GAUDI2", total_memory=limit(), major=0, minor=0)


def setDeterministic(on: bool) -> None:
    _on["deterministic"] = on


def getDeterministic() -> bool:
    return _on.get("deterministic", False)


def set_autocast_hpu_enabled(on: bool) -> None:
    torch.set_autocast_enabled("hpu", on)


def is_autocast_hpu_enabled() -> bool:
    return torch.is_autocast_enabled("hpu")


def set_autocast_hpu_dtype(dtype: torch.dtype) -> None:
    torch.set_autocast_dtype("hpu", dtype)


def get_autocast_hpu_dtype() -> torch.dtype:
    return torch.get_autocast_dtype("hpu")


def enable_dynamic_shape() -> None:
    flags.put("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES", True)


def disable_dynamic_shape() -> None:
    flags.put("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES", False)


def get_dynamic_shape_status() -> bool:
    return bool(flags.get("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES"))


def enable_recompute_FSDPA(on: bool) -> None:
    _on["recompute"] = on


def is_recompute_FSDPA_enabled() -> bool:
    return _on["recompute"]


def enable_const_section_serialization(path: str, clear: bool, compress: bool) -> None:
    pass


def _switch() -> None:
    pass


for _name in ("optim_output_sif", "inference_mode", "quantization", "matmul3d_2d_reshape"):
    vars()[f"enable_{_name}"] = vars()[f"disable_{_name}"] = _switch

# Memory


def get_mem_stats(index: int) -> dict[str, int]:
    return {
        "Limit": limit(),
        "InUse": ledger.in_use,
        "MaxInUse": ledger.peak,
        "NumAllocs": ledger.allocs,
        "NumFrees": ledger.frees,
        "ActiveAllocs": ledger.active,
        "MaxAllocSize": ledger.largest,
        "TotalSystemAllocs": ledger.total_allocs,
        "TotalSystemFrees": ledger.total_frees,
        "TotalActiveAllocs": ledger.total_allocs - ledger.total_frees,
    }


def get_memory_summary(index: int) -> str:
    return "\n".join(f"{name} : {value}" for name, value in get_mem_stats(index).items())


def get_extended_memory_summary() -> dict[str, int]:
    return {"workspace": 0, "persistent": ledger.in_use, "max_in_use": ledger.peak}


def reset_peak_memory_stats(index: int) -> None:
    ledger.reset_peak()


def clear_memory_stats(index: int) -> None:
    ledger.reset_counts()


# Streams: one order of work, so a stream is a number in it

_numbers = itertools.count(1)
_current = 0


class _HpuStreamBase:
    def __new__(
        cls,
        priority: int = 0,
        stream_id: int | None = None,
        device_index: int = 0,
        device_type: int = _HPU,
        is_default_stream: bool = False,
        **kwargs: Any,
    ) -> Any:
        self = (
            torch._C.Stream.__new__(cls, "cpu") if issubclass(cls, torch._C.Stream) else object.__new__(cls)
        )
        number = stream_id
        if number is None:
            number = 0 if is_default_stream else next(_numbers)
        _streams[id(self)] = number
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    stream_id = property(lambda self: _streams[id(self)])
    hpu_stream = property(lambda self: _streams[id(self)])
    device = property(lambda self: torch.device("hpu", 0))
    device_type = property(lambda self: _HPU)
    priority = property(lambda self: 0)

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        tape.flush()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _HpuStreamBase) and self.stream_id == other.stream_id

    def __hash__(self) -> int:
        return hash(self.stream_id)


_streams: dict[int, int] = {}


def _hpu_setStream(stream_id: int, device_index: int, device_type: int) -> None:
    global _current
    _current = stream_id


def _hpu_getCurrentStream(index: int) -> tuple[int, int, int]:
    return _current, 0, _HPU


def _hpu_getDefaultStream(index: int) -> tuple[int, int, int]:
    return 0, 0, _HPU


def _hpu_getCurrentRawStream(index: int) -> int:
    return _current


def _hpu_getStreamInfo(stream_id: int, device_index: int, device_type: int) -> tuple[int, int]:
    return stream_id, stream_id


def record_stream(tensor: torch.Tensor, stream_id: int, device_index: int, device_type: int) -> None:
    pass


class _HpuEventBase:
    def __new__(cls, enable_timing: bool = False) -> Any:
        self = torch._C.Event.__new__(cls, "cpu") if issubclass(cls, torch._C.Event) else object.__new__(cls)
        _timed[id(self)] = [enable_timing, None]
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    hpu_event = property(lambda self: id(self))
    device = property(lambda self: torch.device("hpu", 0))

    def record(self, stream: Any) -> None:
        tape.flush()
        _timed[id(self)][1] = time.perf_counter_ns()

    def wait(self, stream: Any) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        tape.flush()

    def elapsed_time(self, other: Any) -> int:
        (timed, start), (other_timed, end) = _timed[id(self)], _timed[id(other)]
        if not (timed and other_timed):
            raise RuntimeError("Both events must be created with argument 'enable_timing=True'.")
        if start is None or end is None:
            raise RuntimeError("Both events must be recorded before calculating elapsed time.")
        return int(end - start)


_timed: dict[int, list[Any]] = {}

# Graphs


class HPUGraph:
    def __init__(self) -> None:
        if not mode.is_lazy():
            raise RuntimeError("HPUGraph class is available in lazy mode only.")
        self.captured = Capture()
        self.stream = 0
        self.inputs: list[torch.Tensor] = []


def get_view_hash(tensor: torch.Tensor) -> int:
    return 0  # a view of the emulated device shares memory and has no chain of views behind it


def capture_begin(graph: HPUGraph, dry_run: bool = False) -> None:
    graph.captured.begin(dry_run)
    flags.put("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES", False)
    graph.stream = _current


def capture_end(graph: HPUGraph) -> None:
    if graph.stream != _current:
        raise RuntimeError("GRAPH:: Capture must end on the same stream it began on.")
    graph.captured.end()


def replay(graph: HPUGraph, asynchronous: bool = False) -> None:
    graph.captured.replay()


def replayV2(graph: HPUGraph, old: Any, new: Any, asynchronous: bool = False) -> None:
    graph.captured.replay(
        {
            a._cell: b._cell
            for a, b in zip(old, new, strict=True)
            if isinstance(a, HpuTensor) and isinstance(b, HpuTensor)
        }
    )


def replayV3(graph: HPUGraph, new: Any, asynchronous: bool = False) -> None:
    replayV2(graph, graph.inputs, new, asynchronous)


def mark_user_inputs(graph: HPUGraph, tensors: Any) -> None:
    graph.inputs = list(tensors)


def mark_user_outputs(graph: HPUGraph, tensors: Any) -> None:
    graph.captured.keep_only([x._cell for x in tensors if isinstance(x, HpuTensor)])


def get_user_input_match_indices(graph: HPUGraph) -> list[int]:
    read = graph.captured.reads()
    return [at for at, x in enumerate(graph.inputs) if isinstance(x, HpuTensor) and x._cell in read]


def clear_inputs(graph: HPUGraph) -> None:
    graph.inputs = []


def destroy(graph: HPUGraph) -> None:
    graph.captured.clear()
