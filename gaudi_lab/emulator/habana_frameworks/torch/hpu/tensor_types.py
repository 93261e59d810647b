"""`torch.hpu.FloatTensor` and its like: the old names of a dtype on a device, which old programs call or compare."""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device.tensor import HpuTensor

_NAMES = ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")


class _TensorType(type):
    """A class whose instances are the tensors of one dtype on the device."""

    def __call__(cls, *args: Any) -> torch.Tensor:
        """Make a tensor of sizes or of values, as the host's type of this name does."""
        return cls.on_host(*args).to("hpu")  # type: ignore[attr-defined]

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, HpuTensor) and instance.type() == cls.__name__


# PyTorch reads the class's whole name in `tensor.type(torch.hpu.FloatTensor)`.
TYPES = {
    f"{name}Tensor": _TensorType(f"torch.hpu.{name}Tensor", (), {"on_host": getattr(torch, f"{name}Tensor")})
    for name in _NAMES
}
