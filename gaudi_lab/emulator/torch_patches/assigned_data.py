"""`tensor.data = other` across devices: the tensor moves, and whoever holds it sees it move, as with CUDA.

PyTorch exchanges the memory under a tensor only for memory of the same kind, and a wrapper over a cell is another
kind than host memory. Offloading and hot-swapping of weights are made of such assignments.
"""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device.tensor import HpuTensor

_stock: Any = torch._C.TensorBase.data


def register() -> None:
    """Let `data` be assigned across devices."""
    torch.Tensor.data = property(_stock.__get__, _assign)  # type: ignore[assignment]


def _assign(tensor: torch.Tensor, other: Any) -> None:
    if _crosses(tensor, other) and tensor.is_leaf:
        _move(tensor, other)
    else:
        _stock.__set__(tensor, other)


def _crosses(tensor: torch.Tensor, other: Any) -> bool:
    if isinstance(tensor, HpuTensor):
        return type(other) in (torch.Tensor, torch.nn.Parameter) and other.device.type == "cpu"
    return isinstance(other, HpuTensor) and type(tensor) in (torch.Tensor, torch.nn.Parameter)


def _move(tensor: torch.Tensor, other: torch.Tensor) -> None:
    """Give `tensor` the memory and the device of `other`. It stays the same object, and its gradient follows it."""
    with torch.no_grad():
        moved = other.detach()
        if isinstance(tensor, torch.nn.Parameter):
            moved = torch.nn.Parameter(moved, tensor.requires_grad)
        else:
            moved.requires_grad_(tensor.requires_grad)
        if tensor.grad is not None and tensor.grad.shape == other.shape:
            moved.grad = tensor.grad.to(other.device)
    vars(moved).update({name: value for name, value in vars(tensor).items() if name != "_cell"})
    torch.utils.swap_tensors(tensor, moved)
