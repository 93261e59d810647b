"""What the bridge offers on trial: which device this is, and why graphs compile again."""

from ... import hpu
from .detect_recompilation import (
    const_shape_dataloader,
    data_dynamicity,
    detect_recompilation_auto_model,
)
from .device_type import _get_device_type, _is_fp16_supported, synDeviceType

__all__ = [
    "_get_device_type",
    "_is_fp16_supported",
    "const_shape_dataloader",
    "data_dynamicity",
    "detect_recompilation_auto_model",
    "hpu",
    "synDeviceType",
]
