"""Operators that change a tensor in place without computing: new shape, new strides, other memory.

The value changes hands by giving the wrapper another cell; its shape is changed the way PyTorch itself does it,
with dispatch switched off, so that autograd sees an in-place view.
"""

from __future__ import annotations

import functools
from typing import Any

import torch

from gaudi_lab.emulator.device.schema import written
from gaudi_lab.emulator.device.tensor import HpuTensor, adopt, dispatch, wrap
from gaudi_lab.emulator.lazy.record import tape

aten = torch.ops.aten


def in_place_view(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run `unsqueeze_`, `t_`, `transpose_` and their like: take the view, and let the tensor be the view."""
    return adopt(args[0], dispatch(_twin(func), args, kwargs))


@functools.cache
def _twin(func: Any) -> Any:
    """Return the operator that makes the view which `func` turns its tensor into."""
    packet = getattr(aten, func._schema.name.split("::")[1].removesuffix("_"))
    wanted = [str(argument.type) for argument in func._schema.arguments]
    for name in packet.overloads():
        twin = getattr(packet, name)
        if [str(argument.type) for argument in twin._schema.arguments] == wanted:
            return twin
    raise NotImplementedError(f"{func} is not supported on hpu")


def resize_(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Give a tensor another size, and more memory if it needs more."""
    tensor = args[0]
    host = tape.settle(tensor)._cell.read().detach()
    func(host, *args[1:], **kwargs)
    return adopt(tensor, wrap(host))


def set_(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Let a tensor be another one."""
    return adopt(args[0], args[1])


def refresh(func: Any, out: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return `out`, with the shape of every tensor that `func` was given to write into brought up to date."""
    for x in written(func, args, kwargs):
        for tensor in x if isinstance(x, (list, tuple)) else (x,):
            if isinstance(tensor, HpuTensor):
                host = tensor._cell.read()
                if host.shape != tensor.shape or host.stride() != tensor.stride():
                    adopt(tensor, wrap(host))
    return out
