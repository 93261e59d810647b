"""`to_dlpack` asks C++ and no tensor, and would hand one over that has no value; the tensor itself refuses."""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device.tensor import HpuTensor

_stock: Any = torch._C._to_dlpack


def register() -> None:
    """Refuse to hand a tensor of the device to another library."""
    for module in (torch, torch.utils.dlpack):
        setattr(module, "to_dlpack", _to_dlpack)  # noqa: B010 - neither says that it exports it


def _to_dlpack(tensor: Any, *args: Any, **kwargs: Any) -> Any:
    return tensor.__dlpack__() if isinstance(tensor, HpuTensor) else _stock(tensor, *args, **kwargs)
