"""`habana_frameworks.torch.hpu`, which is also `torch.hpu`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any

import torch

from gaudi_lab.emulator.device.acquire import (
    acquire,
    check_index,
    device_count,
    is_acquired,
)
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.process import flags
from gaudi_lab.emulator.process.release import release

from ..utils.internal import is_lazy
from . import events, graphs, memory, metrics, random, sdp, streams, switches
from ._utils import HABANA_VISIBLE_MODULES_VAR, HLS_MODULE_ID_VAR, _get_device_index
from .events import Event
from .memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_cached,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_cached,
    memory_reserved,
    memory_stats,
    memory_summary,
    memory_usage,
    reset_accumulated_memory_stats,
    reset_peak_memory_stats,
)
from .metrics import (
    InvalidMetricDumpFileFormat,
    InvalidMetricDumpTrigger,
    MetricNotFound,
    metric_global,
    metric_localcontext,
    metrics_dump,
)
from .random import (
    default_generators,
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)
from .sdp import enable_recompute_sdp, recompute_sdp_enabled, sdp_kernel
from .streams import (
    Stream,
    StreamContext,
    current_stream,
    default_stream,
    get_stream_info,
    is_lazy_mode,
    record_stream,
    set_stream,
    stream,
)
from .switches import (
    disable_const_section_serialization,
    disable_dynamic_shape,
    disable_inference_mode,
    disable_matmul3d_2d_reshape,
    disable_optim_output_sif,
    disable_quantization,
    enable_const_section_serialization,
    enable_dynamic_shape,
    enable_inference_mode,
    enable_matmul3d_2d_reshape,
    enable_optim_output_sif,
    enable_quantization,
    get_dynamic_shape_status,
    get_sync_debug_mode,
    getDeterministic,
    set_sync_debug_mode,
    setDeterministic,
)
from .tensor_types import TYPES

# Names that a release added, as its sources say.
_SINCE_1_21 = {
    "is_inference_mode_enabled",
    "is_matmul3d_2d_reshape_enabled",
    "set_mark_non_scale_const",
    "set_mark_scale_const",
}


def __getattr__(name: str) -> Any:
    # Up to 1.20 eager mode has no HPU graphs at all; later it has their names, and the first capture fails.
    if name in graphs.__all__ and (is_lazy() or release() >= (1, 21)):
        return getattr(graphs, name)
    if name in _SINCE_1_21 and release() >= (1, 21):
        return getattr(switches, name)
    # PyTorch's activation checkpointing looks at this to decide whether to keep the device's random state.
    if name == "_initialized":
        return is_initialized()
    if name in TYPES:
        return TYPES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def is_available() -> bool:
    """Return True if there is a device; this does not acquire it."""
    return device_count() > 0


def init() -> None:
    """Acquire the device.

    Raises
    ------
    RuntimeError
        The bridge was loaded for the other mode: see `gaudi_lab.emulator.device.acquire`.
    """
    acquire()


_lazy_init = init


def is_initialized() -> bool:
    """Return True once the device has been acquired."""
    return is_acquired()


def _is_in_bad_fork() -> bool:
    return False


def current_device() -> int:
    """Return the index of the device in use."""
    init()
    return 0


def set_device(device: Any) -> None:
    """Choose the device: there is one in a process, which launchers and scripts call by the process's local rank.

    Raises
    ------
    RuntimeError
        `device` is neither 0 nor the device that a launcher has given to this process.
    """
    if device is None or device == -1:  # as PyTorch's device guards do: none is chosen, and none is meant
        return
    check_index(torch.device("hpu", device) if isinstance(device, int) else torch.device(device))


class device(AbstractContextManager[None]):
    """Choose the device inside a `with`; there is only one."""

    def __init__(self, device: Any) -> None:
        set_device(device)

    def __enter__(self) -> None:
        """Enter."""

    def __exit__(self, *exc: object) -> None:
        """Leave."""


class device_of(device):
    """Choose the device of a tensor inside a `with`; there is only one."""

    def __init__(self, obj: torch.Tensor) -> None:
        super().__init__(obj.get_device() if obj.is_hpu else -1)  # type: ignore[attr-defined]


def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Return True if one card of the process reaches the memory of another.

    Raises
    ------
    AssertionError
        There is no such card, or both are the same one.
    """
    pair = [_get_device_index(one, optional=True) for one in (device, peer_device)]
    for index in pair:
        assert 0 <= index < device_count(), f"Invalid device id : {index}"
    assert pair[0] != pair[1], "Both the ids are same."
    return True


def get_gencode_flags() -> str:
    """Return the flags that the library was compiled with: none, in the bridge too."""
    return ""


def get_arch_list() -> list[str]:
    """Return what the library was compiled for."""
    return [get_device_name()]


def synchronize(device: Any = None) -> None:
    """Wait for the device: run what is recorded. The host computes it, so there is nothing else to wait for."""
    tape.flush()


def get_device_name(device: Any = None) -> str:
    """Return the name of the device, as the bridge says it; that it is emulated the workbench says."""
    return "GAUDI2"


def get_device_capability(device: Any = None) -> str:
    """Return the release of the bridge, as the real one does."""
    from gaudi_lab.emulator.process.release import version

    return version()


def get_device_properties(device: Any = None) -> Any:
    """Return name and total memory (bytes) of the device."""
    from types import SimpleNamespace

    return SimpleNamespace(name=get_device_name(), total_memory=memory.mem_get_info()[1], major=0, minor=0)


def is_bf16_supported() -> bool:
    """Return True: the device computes in bfloat16."""
    return True


def get_amp_supported_dtype() -> list[torch.dtype]:
    """Return the dtypes of `torch.autocast("hpu")`."""
    return [torch.bfloat16, torch.float16]


def is_autocast_hpu_enabled() -> bool:
    """Return True inside an enabled `torch.autocast("hpu")`."""
    return torch.is_autocast_enabled("hpu")


def get_autocast_hpu_dtype() -> torch.dtype:
    """Return the dtype of `torch.autocast("hpu")`."""
    return torch.get_autocast_dtype("hpu")


def set_autocast_hpu_enabled(enabled: bool) -> None:
    """Turn autocast on or off outside a `with`."""
    torch.set_autocast_enabled("hpu", enabled)


def set_autocast_hpu_dtype(dtype: torch.dtype) -> None:
    """Choose the dtype of autocast outside a `with`."""
    torch.set_autocast_dtype("hpu", dtype)


def utilization(device: Any = None) -> int:
    """Return how busy the device is, in percent: while this is asked the host is not computing for it."""
    return 0


# What the bridge's star imports leave here, and Intel's programs for MLPerf take from here.
hpu = sys.modules[__name__]
