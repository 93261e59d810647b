"""What the bridge offers on trial: which device this is, and why graphs compile again."""

from ... import hpu
from .device_type import _get_device_type, synDeviceType
from .dynamicity import const_shape_dataloader, data_dynamicity
from .recompilation import detect_recompilation_auto_model

__all__ = [
    "_get_device_type",
    "const_shape_dataloader",
    "data_dynamicity",
    "detect_recompilation_auto_model",
    "hpu",
    "synDeviceType",
]
