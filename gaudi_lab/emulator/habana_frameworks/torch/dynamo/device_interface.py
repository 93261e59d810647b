"""What Dynamo and Inductor ask a device, by `torch._dynamo.device_interface.get_interface_for_device("hpu")`."""

from __future__ import annotations

from typing import Any

import torch
from torch._dynamo.device_interface import DeviceInterface, register_interface_for_device

from .. import hpu as _hpu

hpu: Any = _hpu


class HpuInterface(DeviceInterface):
    """The device, as PyTorch's compiler asks for one. Streams and events of it are not traced."""

    device = hpu.device
    current_device = staticmethod(hpu.current_device)
    set_device = staticmethod(hpu.set_device)
    device_count = staticmethod(hpu.device_count)
    is_available = staticmethod(hpu.is_available)
    stream = staticmethod(hpu.stream)
    current_stream = staticmethod(hpu.current_stream)
    set_stream = staticmethod(hpu.set_stream)
    synchronize = staticmethod(hpu.synchronize)
    get_device_properties = staticmethod(hpu.get_device_properties)
    memory_allocated = staticmethod(hpu.memory_allocated)

    class Worker:
        """The same questions in a process that compiles and holds no device."""

        set_device = staticmethod(hpu.set_device)
        current_device = staticmethod(lambda: 0)
        get_device_properties = staticmethod(hpu.get_device_properties)

    @staticmethod
    def exchange_device(device: int) -> int:
        """Choose a device and return the one before: a process has one."""
        hpu.set_device(device)
        return 0

    maybe_exchange_device = exchange_device

    @staticmethod
    def get_compute_capability(device: torch.types.Device = None) -> Any:
        """Return the release of the bridge, which is what it calls a capability."""
        return hpu.get_device_capability(device)

    @staticmethod
    def is_bf16_supported(including_emulation: bool = False) -> bool:
        """Return True: the device computes in bfloat16."""
        return bool(hpu.is_bf16_supported())

    @staticmethod
    def is_triton_capable(device: torch.types.Device = None) -> bool:
        """Return False: there is no Triton for the device."""
        return False


for _name in ("hpu", "hpu:0"):
    register_interface_for_device(_name, HpuInterface)
