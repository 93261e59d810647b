"""Modules that move to the device while something still holds their parameters.

PyTorch moves a parameter to such a device by swapping it with its successor. It refuses where a graph of autograd or
a weak reference holds the old one, and by then has made the graph's backward impossible: after a forward on the host
whose loss lies in a notebook's variable, `model.to("hpu")` would fail, and so would `loss.backward()`. Here the module
gets new parameters, as it does on hardware, and the old ones stay with who holds them.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gaudi_lab.emulator.device.tensor import HpuTensor


class _Outermost(threading.local):
    """Whether this thread is inside a move: a module moves its children by the same method."""

    moving = False


_outermost = _Outermost()


def register() -> None:
    """Let every module move. Happens once, as the device is set up."""
    apply = nn.Module._apply

    @functools.wraps(apply)
    def moved(self: nn.Module, fn: Callable[..., Any], recurse: bool = True) -> nn.Module:
        if _outermost.moving:
            return apply(self, fn, recurse)
        _outermost.moving = True
        try:
            _refuse_scripted(self, fn)
            kept = [parameter for parameter in self.parameters() if recurse and is_held(parameter)]
            if kept and _is_there_already(self, fn):
                return self
            if any(_is_swapped(parameter, fn) for parameter in kept):
                _renew(self, kept)
            return apply(self, fn, recurse)
        finally:
            _outermost.moving = False

    nn.Module._apply = moved  # type: ignore[method-assign]


def _refuse_scripted(module: nn.Module, fn: Callable[..., Any]) -> None:
    """Raise RuntimeError if a module of TorchScript would move to the device: C++ holds its parameters."""
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule) and any(
            not isinstance(x, HpuTensor) and _is_swapped(x, fn) for x in part.parameters()
        ):
            raise RuntimeError(
                "TorchScript keeps a module's parameters in C++, and the emulated hpu cannot put others there. "
                "Script or trace the module when it is there: torch.jit.script(module.to('hpu'))"
            )


def is_held(parameter: nn.Parameter) -> bool:
    """Return True if a graph of autograd or a weak reference holds `parameter`: it cannot be swapped then."""
    return parameter._use_count() > 1 or bool(weakref.getweakrefs(parameter))  # type: ignore[attr-defined]


def _is_there_already(module: nn.Module, fn: Callable[..., Any]) -> bool:
    with torch.no_grad():
        return all(fn(x) is x for x in (*module.parameters(), *module.buffers()))


def _is_swapped(parameter: nn.Parameter, fn: Callable[..., Any]) -> bool:
    with torch.no_grad():
        return isinstance(fn(parameter), HpuTensor)


def _renew(module: nn.Module, kept: list[nn.Parameter]) -> None:
    """Put new parameters, over the same memory, into the places of `kept`. What was shared stays shared."""
    successors = {id(parameter): _successor(parameter) for parameter in kept}
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            owner._parameters[name] = successors.get(id(parameter), parameter)


def _successor(parameter: nn.Parameter) -> nn.Parameter:
    successor = nn.Parameter(parameter.detach(), parameter.requires_grad)
    vars(successor).update(vars(parameter))
    if parameter.grad is not None:
        successor.grad = parameter.grad.detach()
    return successor
