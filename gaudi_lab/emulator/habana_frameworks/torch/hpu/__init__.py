"""`habana_frameworks.torch.hpu`, which is also `torch.hpu`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from gaudi_lab.emulator.device.acquire import (
    acquire,
    check_index,
    device_count,
    is_acquired,
)
from gaudi_lab.emulator.device.random import generator as _generator
from gaudi_lab.emulator.lazy.record import tape
from gaudi_lab.emulator.process import flags
from gaudi_lab.emulator.process.release import release

from ..utils.internal import is_lazy
from . import events, graphs, memory, metrics, random, sdp, streams
from .events import Event
from .memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_reserved,
    memory_stats,
    memory_summary,
    reset_accumulated_memory_stats,
    reset_peak_memory_stats,
)
from .metrics import MetricNotFound, metric_global, metric_localcontext, metrics_dump
from .random import (
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
from .streams import Stream, current_stream, default_stream, set_stream, stream
from .tensor_types import TYPES


def __getattr__(name: str) -> Any:
    # Up to 1.20 eager mode has no HPU graphs at all; later it has their names, and the first capture fails.
    if name in graphs.__all__ and (is_lazy() or release() >= (1, 21)):
        return getattr(graphs, name)
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


def synchronize(device: Any = None) -> None:
    """Wait for the device: run what is recorded. The host computes it, so there is nothing else to wait for."""
    tape.flush()


def get_device_name(device: Any = None) -> str:
    """Return the name of the device."""
    return "GAUDI2 (emulated on CPU)"


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


def enable_dynamic_shape() -> None:
    """Let graphs serve a range of shapes. The emulated device compiles one for each shape all the same."""
    flags.put("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES", True)


def disable_dynamic_shape() -> None:
    """Compile a graph for each shape."""
    flags.put("PT_HPU_ENABLE_REFINE_DYNAMIC_SHAPES", False)


def enable_const_section_serialization(
    path: str, clear_path: bool = False, use_compression: bool = False
) -> None:
    """Let weights that were marked as constant be kept on disk. The emulated device keeps none apart."""


def utilization(device: Any = None) -> int:
    """Return how busy the device is, in percent: while this is asked the host is not computing for it."""
    return 0


default_generators = (_generator,)
