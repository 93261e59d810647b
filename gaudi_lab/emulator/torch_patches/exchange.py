"""DLPack: no other library knows the emulated device, and PyTorch itself would make a tensor of it without a value."""

from __future__ import annotations

from typing import Any, NoReturn

import torch

from gaudi_lab.emulator.device.tensor import HpuTensor

_stock: Any = torch._C._to_dlpack


def register() -> None:
    """Refuse to hand a tensor of the device to another library."""
    for name in ("__dlpack__", "__dlpack_device__"):
        setattr(HpuTensor, name, _refuse)
    for module in (torch, torch.utils.dlpack):
        setattr(module, "to_dlpack", _to_dlpack)  # noqa: B010 - neither says that it exports it


def _to_dlpack(tensor: Any, *args: Any, **kwargs: Any) -> Any:
    return _refuse(tensor) if isinstance(tensor, HpuTensor) else _stock(tensor, *args, **kwargs)


def _refuse(self: HpuTensor, *args: Any, **kwargs: Any) -> NoReturn:
    raise BufferError(  # what the protocol says where a tensor cannot be exported
        "DLPack cannot hand over an hpu tensor: its memory is the emulated device's. Hand over tensor.cpu() instead"
    )
