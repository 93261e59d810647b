"""Stands in for the bridge's compiled module `_experimental_C`: which device it is, and what profilers are told."""

from __future__ import annotations

import enum
from typing import Any


class synDeviceType(enum.IntEnum):
    synDeviceGaudi = 1
    synDeviceGaudi2 = 4
    synDeviceGaudi3 = 5


def get_device_type() -> synDeviceType:
    return synDeviceType.synDeviceGaudi2


def data_ptr(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())


def compute_stream() -> int:
    return 0


def record_param(*args: Any) -> None:
    pass


def record_quant_param(*args: Any) -> None:
    pass


def set_profiler_tracer_memory(device: int) -> int:
    return 0


def reset_device_memory() -> None:
    pass
