"""Names of the modules that run, in lazy mode.

On hardware they name the operators of a recorded graph. To know them the bridge hooks every module that becomes a
submodule after it was imported: such a module has a forward hook and a forward pre-hook that nobody asked for, and
the attributes `custom_name` and `names_hook`. Programs that look at hooks meet them here as they do there. They have
nothing to do here: which modules run is read off the stack when somebody asks, so that a call of a module costs what
it costs without them.

Source: the bridge's ``core/torch_overwrites.py``, release 1.19.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from typing import Any

import torch

from gaudi_lab import origin


def running() -> str:
    """Return the path of the innermost hooked module that runs now, such as ``encoder/layer``; empty for none."""
    modules = [m for m in origin.running_modules(inspect.currentframe()) if getattr(m, "names_hook", False)]
    return "/".join([str(module.custom_name) for module in reversed(modules)])


class _IdleHooks(OrderedDict[int, Any]):
    """Hooks of which the first does nothing: PyTorch, which asks for their truth at a call, goes without it."""

    def __bool__(self) -> bool:
        return len(self) > 1


def _nothing(*_: Any) -> None:
    pass


def _hook(module: Any, name: str) -> None:
    if not isinstance(module, torch.nn.Module) or getattr(module, "names_hook", False):
        return
    try:
        vars(module)["custom_name"] = name
        for hooks in ("_forward_pre_hooks", "_forward_hooks"):
            if not vars(module).get(hooks, True):  # handles of hooks that are there know the dictionary
                vars(module)[hooks] = _IdleHooks()
        module.register_forward_pre_hook(_nothing)
        module.register_forward_hook(_nothing)
        vars(module)["names_hook"] = True
    except RuntimeError:
        return  # a scripted module takes no hooks


def install() -> None:
    """Let a hook go to every module that becomes a submodule from now on, once, as lazy mode loads."""
    add_module, set_attribute = torch.nn.Module.add_module, torch.nn.Module.__setattr__

    @functools.wraps(add_module)
    def hooked_add_module(self: torch.nn.Module, name: str, module: torch.nn.Module | None) -> None:
        _hook(module, name)
        add_module(self, name, module)

    @functools.wraps(set_attribute)
    def hooked_set_attribute(self: torch.nn.Module, name: str, value: Any) -> None:
        _hook(value, name)
        set_attribute(self, name, value)

    torch.nn.Module.add_module = hooked_add_module  # type: ignore[method-assign]
    torch.nn.Module.__setattr__ = hooked_set_attribute  # type: ignore[method-assign]
