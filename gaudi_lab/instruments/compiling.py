"""Compile a module in place with the bridge's `torch.compile` backend, and take that back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.instruments import calls
from gaudi_lab.instruments.handle import Handle


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
    compiled = torch.compile(
        _call_of(module), **{"backend": bridge.COMPILE_BACKEND, "dynamic": False, **options}
    )
    return calls.compile_with(module, compiled)


def _call_of(module: nn.Module) -> Callable[..., Any]:
    """Return a function that calls `module`, to be compiled in place of `Module.compile`'s own.

    Dynamo does not look into frames of torch itself. `Module.compile` hands it one, so that a module made
    of torch's modules only, such as a `Sequential`, would not be compiled at all. And it limits compiles
    by code object, which all modules would share: hence a copy of the code for each.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return module._call_impl(*args, **kwargs)  # noqa: SLF001 - what `Module.compile` compiles

    call.__code__ = call.__code__.replace()
    return call
