"""Operands that lie on the host while others lie on the device: lazy mode takes them there, as the bridge does."""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.device.on_the_host import lasting
from gaudi_lab.emulator.device.schema import written
from gaudi_lab.emulator.device.tensor import wrap

aten = torch.ops.aten

# They update running statistics, and their schemas do not say so.
_WRITES_UNSAID = {
    aten.native_batch_norm.default,
    aten.cudnn_batch_norm.default,
    aten.miopen_batch_norm.default,
}


def take(func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """Return the arguments with host tensors copied to the device, as they are now: they may change before it computes.

    None if one of them must not be a copy: the operator writes into it, or a gradient is to reach it.
    """
    if func in _WRITES_UNSAID or any(
        _is_host(x) for held in written(func, args, kwargs) for x in _each(held)
    ):
        return None
    hosts = [x for held in (*args, *kwargs.values()) for x in _each(held) if _is_host(x) and x.dim()]
    if not hosts or (torch.is_grad_enabled() and any(x.requires_grad for x in hosts)):
        return None
    return tuple([_moved(x) for x in args]), {name: _moved(x) for name, x in kwargs.items()}


def _is_host(x: Any) -> bool:
    return (
        x.__class__ in (torch.Tensor, torch.nn.Parameter)
        and x.device.type == "cpu"
        and x.layout is torch.strided
    )


def _each(x: Any) -> Any:
    return x if isinstance(x, (list, tuple)) else (x,)


def _moved(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return [_moved(y) for y in x]
    if not (_is_host(x) and x.dim()):
        return x
    with lasting():
        host = x.detach().clone()
    return wrap(host)
