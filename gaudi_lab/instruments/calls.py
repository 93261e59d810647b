"""What takes the calls of a module: its compiled form, and those who watch it being called.

Both want the one place that torch offers for it. Hooks would not do for watching: under `torch.compile` they
are compiled with the model, so that watching it would change what is compiled.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from gaudi_lab.instruments.handle import Handle

Call = Callable[..., Any]
Watcher = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], AbstractContextManager[Any] | None]

# `nn.Module.__call__` calls this instead of `_call_impl` if it is set. It is neither copied nor pickled.
_PLACE = "_compiled_call_impl"


class _CallSlot:
    """Takes the calls of one module. Does not keep the module alive."""

    def __init__(self, module: nn.Module) -> None:
        self.compiled: Call | None = None
        self.watchers: list[Watcher] = []
        self.before = vars(module).get(_PLACE)
        self._had_one = _PLACE in vars(module)
        self._module = weakref.ref(module)
        vars(module)[_PLACE] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module = self._module()
        assert module is not None, "a module is called while it exists"
        call = self.compiled or self.before or module._call_impl  # noqa: SLF001 - what torch calls
        if not self.watchers:
            return call(*args, **kwargs)
        # Dynamo looks away but for the call itself: what watchers do is nothing to compile.
        looking = _set_eval_frame(None)
        try:
            return _call_inside(tuple(self.watchers), call, looking, module, args, kwargs)
        finally:
            _set_eval_frame(looking)

    def __bool__(self) -> bool:
        """Whether the module is compiled: other libraries ask the place for that."""
        return (self.compiled or self.before) is not None

    def close_if_unused(self) -> None:
        """Leave, unless there is something left to do here or someone else has taken the place."""
        module = self._module()
        if module is None or self.compiled or self.watchers or vars(module).get(_PLACE) is not self:
            return
        if self._had_one:
            vars(module)[_PLACE] = self.before
        else:
            del vars(module)[_PLACE]


def compile_with(module: nn.Module, compiled: Call) -> Handle:
    """Send the calls of `module` to `compiled`."""
    slot = _slot_of(module)
    before, slot.compiled = slot.compiled, compiled

    def undo() -> None:
        if slot.compiled is compiled:
            slot.compiled = before
        slot.close_if_unused()

    return Handle(undo)


def watch(module: nn.Module, watcher: Watcher) -> Handle:
    """Have each call of `module` from outside made inside `watcher(module, args, kwargs)`.

    Parameters
    ----------
    module
        Any module, compiled or not, under HPU graphs or not. It computes as before.
    watcher
        Returns a context manager, or None for a call that it does not care for. It runs outside of whatever
        is compiled or captured.
    """
    slot = _slot_of(module)
    slot.watchers.append(watcher)
    # What it holds of the module, such as a compiled form, is to live no longer than the module does.
    kept = weakref.ref(slot)

    def undo() -> None:
        if (slot := kept()) is not None:
            slot.watchers.remove(watcher)
            slot.close_if_unused()

    return Handle(undo)


def is_compiled(module: nn.Module) -> bool:
    """Whether calls of `module` go through `torch.compile`."""
    here = vars(module).get(_PLACE)
    return bool(here) if isinstance(here, _CallSlot) else here is not None


def _call_inside(
    watchers: tuple[Watcher, ...],
    call: Call,
    looking: Any,
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    # Each watcher is asked inside what those before it have entered. An ExitStack would cost more than the rest.
    for number, watcher in enumerate(watchers, 1):
        if (around := watcher(module, args, kwargs)) is not None:
            with around:
                return _call_inside(watchers[number:], call, looking, module, args, kwargs)
    _set_eval_frame(looking)
    try:
        return call(*args, **kwargs)
    finally:
        _set_eval_frame(None)


_set_eval_frame = torch._C._dynamo.eval_frame.set_eval_frame  # noqa: SLF001 - importing torch._dynamo takes seconds


def _skip_frame(function: Any) -> None:
    """Keep Dynamo from tracing `function` itself. What it calls may be traced.

    This is `torch._dynamo.eval_frame.skip_code`, whose import takes seconds.
    """
    dynamo = torch._C._dynamo.eval_frame  # noqa: SLF001
    skip = dynamo._FrameExecStrategy(dynamo._FrameAction.SKIP, dynamo._FrameAction.DEFAULT)  # noqa: SLF001
    dynamo.set_code_exec_strategy(function.__code__, skip)


# A module that is watched may be under somebody's own torch.compile: the model is to be traced then, and this is not.
_skip_frame(_CallSlot.__call__)


def _slot_of(module: nn.Module) -> _CallSlot:
    here = vars(module).get(_PLACE)
    return here if isinstance(here, _CallSlot) else _CallSlot(module)
