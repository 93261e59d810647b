"""What a compile-only warm-up leaves on a model: values that nothing has computed, and that stay when it is over."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gaudi_lab import bridge, origin
from gaudi_lab.instruments import calls
from gaudi_lab.instruments.guard.object_state import State
from gaudi_lab.instruments.guard.operators_seen import asker
from gaudi_lab.instruments.handle import Handle
from gaudi_lab.report import UncomputedValue


class UncomputedHandle(Handle):
    """Watches one model for uncomputed values that stay."""

    def __init__(self, undo: Callable[[], object], found: Callable[[], tuple[UncomputedValue, ...]]) -> None:
        super().__init__(undo)
        self._found = found

    @property
    def values(self) -> tuple[UncomputedValue, ...]:
        """The attributes and buffers that hold an uncomputed value now; none while a warm-up goes on."""
        return self._found()


def watch_uncomputed(module: nn.Module) -> UncomputedHandle:
    """Report what calls of `module` under `PT_COMPILE_ONLY_MODE` have set on it and was never computed.

    A warning names it at the first call after that, before this call uses it. The emulated bridge shows uncomputed
    floating-point results as NaN, and only what is NaN is reported. On hardware they are whatever the memory held, so
    there every tensor is reported that was set meanwhile and is still there.

    Parameters
    ----------
    module
        Any module; calls of it compute as before.

    Returns
    -------
    UncomputedHandle
        Removing it ends the watch.
    """
    watch = _Watch(module)
    handle = calls.watch(module, watch)
    return UncomputedHandle(handle.remove, watch.values)


class _Watch:
    def __init__(self, module: nn.Module) -> None:
        self._module = weakref.ref(module)
        # Each place that was set while nothing was computed: what it was set to, and where that was made.
        self._set: dict[str, tuple[Any, str]] = {}
        self._told = False

    def __call__(self, module: nn.Module, *_: Any) -> AbstractContextManager[Any] | None:
        if bridge.compile_only():
            self._told = False
            return self._watching(module)
        if self._set and not self._told:
            self._told = True
            for value in self.values():
                origin.warn(f"Gaudi Lab: {type(module).__name__}: {value}")
        return None

    @contextmanager
    def _watching(self, module: nn.Module) -> Iterator[None]:
        before = State({"": module})
        lines = _LinesOfResults()
        with lines:
            yield
        for change in before.changes():
            line = lines.of(change.after) if isinstance(change.after, torch.Tensor) else ""
            self._set[change.name] = change.after, line

    def values(self) -> tuple[UncomputedValue, ...]:
        """Return which of the places still hold what nothing has computed."""
        module = self._module()
        if module is None or not self._set or bridge.compile_only():
            return ()
        now = State({"": module}).values
        for name in [name for name, (value, _) in self._set.items() if now.get(name) is not value]:
            del self._set[name]  # set anew since
        found = [
            UncomputedValue(name, line) for name, (value, line) in self._set.items() if _is_uncomputed(value)
        ]
        return tuple(found)


class _LinesOfResults(TorchDispatchMode):
    """Remembers in which line each tensor was made. Keeps none alive."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, tuple[weakref.ref[torch.Tensor], str]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator and note its line."""
        result = func(*args, **(kwargs or {}))
        _, line = asker()
        for x in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(x, torch.Tensor):
                self._made[id(x)] = weakref.ref(x), line
        return result

    def of(self, x: torch.Tensor) -> str:
        """Return the line of `x`; empty if it was not made here."""
        ref, line = self._made.get(id(x), (lambda: None, ""))
        return line if ref() is x else ""


def _is_uncomputed(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    if not isinstance(value, torch.Tensor) or value.device.type != "hpu":
        return False
    return not bridge.identity().emulated or bool(value.isnan().any())
