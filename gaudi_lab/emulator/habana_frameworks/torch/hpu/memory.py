"""Memory of the device, in bytes: what living tensors really hold. To ask acquires the device, as on hardware."""

from __future__ import annotations

import warnings
from typing import Any

from gaudi_lab.emulator.device.acquire import acquire
from gaudi_lab.emulator.device.memory import ledger, limit

_RENAMED = "torch.hpu.{} has been renamed to torch.hpu.{}"


def memory_stats(device: Any = None) -> dict[str, int]:
    """Return the device's memory statistics under the bridge's keys."""
    acquire()
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


def memory_allocated(device: Any = None) -> int:
    """Return the bytes in use."""
    acquire()
    return ledger.in_use


def max_memory_allocated(device: Any = None) -> int:
    """Return the most bytes that were in use since the start, or since `reset_peak_memory_stats`."""
    acquire()
    return ledger.peak


def memory_reserved(device: Any = None) -> int:
    """Return the device's whole memory: the bridge reserves all of it."""
    acquire()
    return limit()


max_memory_reserved = memory_reserved


def memory_cached(device: Any = None) -> int:
    """Return what `memory_reserved` does, under its old name."""
    warnings.warn(_RENAMED.format("memory_cached", "memory_reserved"), FutureWarning, stacklevel=2)
    return memory_reserved(device)


def max_memory_cached(device: Any = None) -> int:
    """Return what `max_memory_reserved` does, under its old name."""
    warnings.warn(_RENAMED.format("max_memory_cached", "max_memory_reserved"), FutureWarning, stacklevel=2)
    return max_memory_reserved(device)


def memory_usage(device: Any = None) -> int:
    """Return the bytes in use, as `memory_allocated` does."""
    return memory_allocated(device)


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Return the bytes free and the bytes in all."""
    acquire()
    return limit() - ledger.in_use, limit()


def reset_peak_memory_stats(device: Any = None) -> None:
    """Start the peak again from what is in use now."""
    acquire()
    ledger.reset_peak()


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Start the numbers of allocations and frees again."""
    acquire()
    ledger.reset_counts()


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """Return the statistics as a text."""
    acquire()
    width = max(map(len, memory_stats()))
    return "\n".join(f"{name:<{width}} : {value:,}" for name, value in memory_stats().items())


def _extended_memory_summary_dict() -> dict[str, int]:
    acquire()
    return {"workspace": 0, "persistent": ledger.in_use, "max_in_use": ledger.peak}


def empty_cache() -> None:
    """Give unused memory back: nothing is kept back."""
