"""Compile a module with the bridge's `torch.compile` backend, in place or region by region, and take that back."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.errors import LabValueError
from gaudi_lab.instruments import calls
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.settings import COMPILE, Dynamic, Mode


def compile_arguments(dynamic: Dynamic | None, options: tuple[tuple[str, Any], ...] | None) -> dict[str, Any]:
    """Return the arguments of `torch.compile` for what settings say; parameters as in `Settings`.

    Raises
    ------
    LabValueError
        The bridge's backend has no such option: it would say so at the first call only.
    """
    found: dict[str, Any] = {"dynamic": None if dynamic == "auto" else bool(dynamic)}
    if options:
        names = bridge.compile_option_names()
        for name, _ in options:
            if names and name not in names:
                near = difflib.get_close_matches(name, names, 1) or ["force_static_compile"]
                raise LabValueError(
                    f"{bridge.COMPILE_BACKEND} has no option {name}; there are {', '.join(sorted(names))}.",
                    python=f'gaudi_lab.compile(model, backend_options={{"{near[0]}": True}})',
                    magic=f"%gaudi_compile on --option {near[0]}=True",
                )
        found["options"] = dict(options)
    return found


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
    _require_eager_mode()
    compiled = torch.compile(
        _call_of(module), **{"backend": bridge.COMPILE_BACKEND, "dynamic": False, **options}
    )
    return calls.compile_with(module, compiled)


class Regions(Handle):
    """A second form of a module, with its repeated blocks compiled. It shares the parts; the module is not changed."""

    def __init__(self, module: nn.Module, regions: nn.Module) -> None:
        super().__init__(lambda: None)
        self._module, self._regions = module, regions

    def in_use(self, module: nn.Module) -> nn.Module:
        """Return what to call instead of `module`."""
        if module is not self._module or not self.active:
            return module
        if self._regions.training != module.training:
            self._regions.train(module.training)
        return self._regions


def compile_regions(module: nn.Module, **options: Any) -> Regions:
    """Compile the repeated blocks of `module` once each, by accelerate's `compile_regions`.

    Parameters
    ----------
    module
        Any module; whoever calls it has to call what the handle returns instead.
    **options
        Passed to `torch.compile`.

    Raises
    ------
    LabError
        In lazy mode, where the bridge has no such backend.
    """
    from accelerate import utils

    _require_eager_mode()
    return Regions(module, utils.compile_regions(module, backend=bridge.COMPILE_BACKEND, **options))


def _require_eager_mode() -> None:
    bridge.load()
    if (refusal := COMPILE.refusal(Mode.of_process(bridge.is_lazy()))) is not None:
        raise refusal


def _call_of(module: nn.Module) -> Callable[..., Any]:
    """Return a function that calls `module`, to be compiled in place of `Module.compile`'s own.

    Dynamo does not look into frames of torch itself. `Module.compile` hands it one, so that a module made
    of torch's modules only, such as a `Sequential`, would not be compiled at all. And it limits compiles
    by code object, which all modules would share: hence a copy of the code for each.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return module._call_impl(*args, **kwargs)  # noqa: SLF001 - what `Module.compile` compiles

    return own_code(call)


def own_code(call: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    """Give a function a code object of its own, and a name: Dynamo limits compiles by code object, and tells names."""
    call.__code__ = call.__code__.replace(co_name=name or call.__code__.co_name)
    return call
