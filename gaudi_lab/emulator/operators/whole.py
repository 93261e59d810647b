"""Operators that PyTorch makes of others and a Gaudi has a kernel for: one step of a program each.

PyTorch takes them apart above the device, so that what autograd knows of their parts is enough. Where nothing is
differentiated and nobody else looks at the parts, the device gets them whole; there the host runs them in one call too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import forward_ad

from gaudi_lab.emulator.device.tensor import HpuTensor

aten = torch.ops.aten

WHOLE = (aten.linear.default, aten.matmul.default)

_is_grad_enabled = torch.is_grad_enabled
_modes = torch._C._len_torch_dispatch_stack


def register() -> torch.library.Library:
    """Register what takes them above the device, and return the library that keeps it registered."""
    library = torch.library.Library("aten", "IMPL")
    for func in WHOLE:
        library.impl(func._schema.name.removeprefix("aten::"), _taking(func), "AutogradPrivateUse1")
    return library


def is_whole(args: Any) -> bool:
    """Return whether these operands may reach the device together: all of them are its own, and nobody looks on."""
    for x in args:
        if x.__class__ is not HpuTensor and x is not None:
            return False
    return not _modes() and forward_ad._current_level < 0


def _taking(func: Any) -> Callable[..., Any]:
    decompose = func.decompose

    def take(*args: Any) -> Any:
        if is_whole(args) and not (_is_grad_enabled() and _needs_gradient(args)):
            return HpuTensor.__torch_dispatch__(func, (), args, None)
        return decompose(*args)

    return take


def _needs_gradient(args: Any) -> bool:
    return any(x.requires_grad for x in args if x is not None)
