"""Names of the modules that run, in lazy mode.

On hardware they name the operators of a recorded graph. To know them the bridge hooks every module that becomes a
submodule after it was imported: such a module has a forward hook and a forward pre-hook that nobody asked for, and
the attributes `custom_name` and `names_hook`. Programs that look at hooks meet them here as they do there.

Source: the bridge's ``core/torch_overwrites.py``, release 1.19.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import torch


class _Running(threading.local):
    """The hooked modules that run now in this thread, outermost first."""

    def __init__(self) -> None:
        self.modules: list[torch.nn.Module] = []


_running = _Running()


def running() -> str:
    """Return the path of the innermost hooked module that runs now, such as ``encoder/layer``; empty for none."""
    return "/".join([str(module.custom_name) for module in _running.modules])


def _enter(module: torch.nn.Module, args: Any) -> None:
    _running.modules.append(module)


def _leave(module: torch.nn.Module, args: Any, output: Any) -> None:
    modules = _running.modules
    if modules and modules[-1] is module:  # a module hooked while it runs leaves without having entered
        modules.pop()


def _hook(module: Any, name: str) -> None:
    if not isinstance(module, torch.nn.Module) or getattr(module, "names_hook", False):
        return
    try:
        vars(module)["custom_name"] = name
        module.register_forward_pre_hook(_enter)
        module.register_forward_hook(_leave, always_call=True)
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
