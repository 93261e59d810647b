"""Compile a module in place with the bridge's `torch.compile` backend, and take that back."""

from __future__ import annotations

from typing import Any

from torch import nn

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.instruments.handle import Handle

# Where `nn.Module.compile` keeps the compiled call; `forward` and the object's identity stay the same.
_COMPILED_CALL = "_compiled_call_impl"


def compile_in_place(module: nn.Module, **options: Any) -> Handle:
    """Compile calls of `module`. The object that the user holds stays the same.

    Parameters
    ----------
    module
        Any module; the call is compiled at its first use for each input shape.
    **options
        Passed to `torch.compile`. `dynamic` is False unless given: a Gaudi compiles for fixed sizes, and
        a symbolic one would be compiled again for each size anyway.

    Raises
    ------
    LabError
        In lazy mode, where the bridge has no such backend.
    """
    bridge.load()
    if bridge.is_lazy():
        raise LabError(
            "torch.compile needs eager mode, and this process is in lazy mode.",
            python='gaudi_lab.mode("eager")',
            magic="%gaudi_mode eager",
        )
    had_one = _COMPILED_CALL in vars(module)
    before = vars(module).get(_COMPILED_CALL)
    module.compile(**{"backend": bridge.COMPILE_BACKEND, "dynamic": False, **options})
    ours = vars(module)[_COMPILED_CALL]

    def undo() -> None:
        # Someone who compiled it again since has replaced ours; theirs is not ours to remove.
        if vars(module).get(_COMPILED_CALL) is not ours:
            return
        if had_one:
            vars(module)[_COMPILED_CALL] = before
        else:
            del vars(module)[_COMPILED_CALL]

    return Handle(undo)


def is_compiled(module: nn.Module) -> bool:
    """Whether calls of `module` go through `torch.compile`."""
    return vars(module).get(_COMPILED_CALL) is not None
