"""Generations of the device."""

from __future__ import annotations

import enum


class synDeviceType(enum.IntEnum):
    """The generations, by the driver's numbers."""

    synDeviceGaudi = 1
    synDeviceGaudi2 = 4
    synDeviceGaudi3 = 5


def _get_device_type() -> synDeviceType:
    """Return the generation that is emulated."""
    return synDeviceType.synDeviceGaudi2


def _is_fp16_supported() -> bool:
    """Return True for every generation but the first."""
    return _get_device_type() != synDeviceType.synDeviceGaudi
