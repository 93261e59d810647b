"""`torch.cuda`: its names do what those of `torch.hpu` do; one that has no counterpart raises and says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch.cuda import nvtx

from gaudi_lab.emulator.migrated.cuda_devices import on_hpu

# The same on hpu, by the same name.
_SAME = (
    "can_device_access_peer", "current_device", "current_stream", "default_stream", "device", "device_count",
    "device_of", "empty_cache", "get_arch_list", "get_device_name", "get_gencode_flags",
    "get_rng_state", "get_rng_state_all", "get_sync_debug_mode", "init", "initial_seed", "is_available",
    "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated",
    "max_memory_cached", "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_cached",
    "memory_reserved", "memory_stats", "memory_summary", "memory_usage", "reset_accumulated_memory_stats",
    "reset_peak_memory_stats", "seed", "seed_all", "set_device", "set_rng_state", "set_rng_state_all", "set_stream",
    "set_sync_debug_mode", "stream", "synchronize",
)  # fmt: skip
_CLASSES = ("Event", "Stream", "StreamContext")
_TYPES = (
    "BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor",
    "IntTensor", "LongTensor", "ShortTensor",
)  # fmt: skip
# Graphs of the device, which the bridge has in lazy mode.
_GRAPHS = {"CUDAGraph": "HPUGraph", "graph": "graph", "make_graphed_callables": "make_graphed_callables"}
# Neither a device nor a call of one: modules, errors, and what PyTorch answers right for a build without CUDA.
_STAY = (
    "CudaError", "DeferredCudaCallError", "amp", "check_error", "cudaStatus", "default_generators", "graphs",
    "has_half", "has_magma", "is_current_stream_capturing", "is_tf32_supported", "jiterator", "memory", "nccl", "nvtx",
    "profiler", "random", "sparse", "streams", "tunable",
)  # fmt: skip
_INSTEAD = {
    "get_device_capability": "ask torch.cuda.is_bf16_supported(), or torch.cuda.get_device_name()",
    "ipc_collect": "leave it out: no memory is shared with another process",
    "cudart": "leave it out: there is no CUDA runtime",
    "graph_pool_handle": "leave it out: a graph of hpu has its own memory",
    "reset_max_memory_allocated": "use torch.cuda.reset_peak_memory_stats",
    "reset_max_memory_cached": "use torch.cuda.reset_peak_memory_stats",
    "ExternalStream": "use torch.cuda.Stream",
    "memory_snapshot": "use torch.cuda.memory_stats or torch.cuda.memory_summary",
}


def register() -> None:
    """Give `torch.cuda` the names of `torch.hpu`."""
    hpu: Any = torch.hpu  # type: ignore[attr-defined]
    cuda: Any = torch.cuda
    mapped = {name: _call(getattr(hpu, name)) for name in _SAME}
    mapped |= {name: getattr(hpu, name) for name in (*_CLASSES, *_TYPES) if hasattr(hpu, name)}
    mapped |= {name: getattr(hpu, there) for name, there in _GRAPHS.items() if hasattr(hpu, there)}
    for name in cuda.__all__:
        if name not in mapped and name not in _STAY and name != "get_device_properties":
            mapped[name] = _refusal(name, getattr(cuda, name))
    for name, value in mapped.items():
        for owner in (cuda, cuda.memory, cuda.random, cuda.streams, cuda.graphs):
            # The submodules hand out the same names, but the module `graph` is none of theirs.
            if owner is cuda or callable(getattr(owner, name, None)):
                setattr(owner, name, value)
    cuda.get_device_properties = _properties
    cuda._lazy_init = hpu.init
    # Marks for NVIDIA's profiler: nobody looks, and Intel's toolkit leaves them out as well.
    nvtx.range = _unmarked
    for name in ("mark", "range_end", "range_pop", "range_push", "range_start"):
        setattr(nvtx, name, _no_mark)


def _properties(device: Any = None) -> Any:
    """Return name and total memory (bytes) of the device."""
    found = torch.hpu.get_device_properties(on_hpu(device))  # type: ignore[attr-defined]
    # Inductor asks a PyTorch without CUDA for this one, to tell its caches apart.
    found.gcnArchName = found.name
    return found


def _call(function: Any) -> Any:
    """Return `function`, with `hpu` for every argument that says "cuda"."""
    if isinstance(function, type):
        return type(function.__name__, (function,), {"__init__": _of_hpu(function.__init__)})  # type: ignore[misc]
    return _of_hpu(function)


def _of_hpu(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*[on_hpu(x) for x in args], **{key: on_hpu(x) for key, x in kwargs.items()})

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


def _refusal(name: str, stock: Any) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        instead = _INSTEAD.get(name, "leave it out, or ask torch.hpu")
        raise NotImplementedError(f"torch.cuda.{name} has no counterpart on hpu: {instead}")

    # A class stays one, so that isinstance can ask for it.
    return type(name, (), {"__new__": refuse}) if isinstance(stock, type) else refuse


def _no_mark(*args: Any, **kwargs: Any) -> int:
    return 0


@contextmanager
def _unmarked(*args: Any, **kwargs: Any) -> Any:
    yield
