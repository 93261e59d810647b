"""`torch.accelerator` on the device: PyTorch asks C++ hooks that a Python backend cannot have, and asserts."""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device.acquire import acquire, check_index
from gaudi_lab.emulator.device.memory import ledger, limit
from gaudi_lab.emulator.lazy.record import tape

_set_index = torch._C._accelerator_setDeviceIndex


def _choose(index: int) -> None:
    check_index(torch.device("hpu", index))
    _set_index(index)


def _stats(index: int) -> dict[str, Any]:
    acquire()
    reserved = limit()  # as on hardware: the bridge reserves all of it
    return {
        "allocated_bytes": {"all": {"current": ledger.in_use, "peak": ledger.peak}},
        "reserved_bytes": {"all": {"current": reserved, "peak": reserved}},
        "allocation": {"all": {"current": ledger.active, "allocated": ledger.allocs, "freed": ledger.frees}},
    }


def _info(index: int) -> tuple[int, int]:
    acquire()
    return limit() - ledger.in_use, limit()


def _capability(index: int) -> dict[str, Any]:
    return {"supported_dtypes": set(_DTYPES)}


# Of which tensors are made on the device, as PyTorch says what a capability is.
_DTYPES = (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
    torch.float32, torch.float64, torch.complex64, torch.complex128, torch.float8_e4m3fn, torch.float8_e5m2,
)  # fmt: skip
_FUNCTIONS = {
    "setDeviceIndex": _choose,
    "getDeviceCapability": _capability,
    "synchronizeDevice": lambda index: tape.flush(),
    "isAllocatorInitialized": lambda: True,
    "emptyCache": lambda: None,  # nothing is kept back
    "emptyHostCache": lambda: None,
    "getDeviceStats": _stats,
    "getMemoryInfo": _info,
    "resetPeakStats": lambda index: ledger.reset_peak(),
    "resetAccumulatedStats": lambda index: ledger.reset_counts(),
}


def register() -> None:
    """Let `torch.accelerator` ask the device."""
    for name, function in _FUNCTIONS.items():
        setattr(torch._C, f"_accelerator_{name}", function)
