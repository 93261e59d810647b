"""Parameters of lazy modules that move to the device before they have a shape."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.parameter import UninitializedParameter

from gaudi_lab.emulator.device.tensor import HpuTensor


class UninitializedHpuTensor(HpuTensor, UninitializedParameter):
    """An `hpu` tensor that is still to get its shape, from the first input of its module."""

    cls_to_become = HpuTensor

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Stay without a shape through `detach`, which is what `nn.Parameter` makes of a tensor."""
        out = HpuTensor.__torch_dispatch__(func, types, args, kwargs)
        return of(out) if func is torch.ops.aten.detach.default else out


def of(tensor: HpuTensor) -> UninitializedHpuTensor:
    """Return `tensor` as one that is still to get its shape."""
    return UninitializedHpuTensor.over(
        tensor._cell, tensor.size(), tensor.stride(), tensor.storage_offset(), tensor.dtype
    )
