"""Which of the graphs that Dynamo keeps for a function a call is sent to.

Dynamo asks one graph after the other whether its guards hold, the newest first, and takes the first. So an older graph
lies in the shadow of a newer one whose guards hold for its calls too, such as one of any size: no such call comes to
the older one any more, though its guards hold. Whether that is so is asked of the guards themselves, with a call like
the one that a graph was compiled for.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import torch
from torch import nn

from gaudi_lab import bridge

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)


class Entry:
    """One graph that Dynamo keeps, and a likeness of the call that it was compiled for.

    Parameters
    ----------
    code
        The function.
    compile_id
        What Dynamo calls the graph, such as "0/1".
    values
        What the function's names stood for. No tensor and no module of it is kept alive.
    """

    def __init__(self, code: CodeType, compile_id: str, values: dict[str, Any]) -> None:
        self.compile_id = compile_id
        self._code = weakref.ref(code)
        self._values = {name: _likeness(value) for name, value in values.items()}
        self._modes = _modes()
        self._shadow: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether Dynamo still keeps the graph."""
        return self._find() is not None

    @property
    def code(self) -> CodeType | None:
        """The function; None once it is gone."""
        return self._code()

    def shadow(self) -> str | None:
        """Return which graph takes the calls that this one was compiled for, as Dynamo calls it.

        None if this one does, or it cannot be told: a module of the call is gone, or something besides its arguments is
        no more as it was. In lazy mode, which compiles nothing so and records whatever makes a tensor, the last answer.
        """
        if not bridge.is_lazy():
            self._shadow = self._find_shadow()
        return self._shadow

    def _find_shadow(self) -> str | None:
        own = self._find()
        if own is None:
            return None
        try:
            with _within(self._modes):
                values = {name: make() for name, make in self._values.items()}
                if not own.guard_manager.check(values):
                    return None
                taken = next(x for x in self._kept() if _rivals(x, own) and x.guard_manager.check(values))
        except Exception:  # of a call that cannot be made again nothing is known
            return None
        return None if taken.compile_id == own.compile_id else str(taken.compile_id)

    def _kept(self) -> list[Any]:
        code = self._code()
        if code is None:
            return []
        return list(torch._C._dynamo.eval_frame._debug_get_cache_entry_list(code))  # noqa: SLF001

    def _find(self) -> Any:
        return next((x for x in self._kept() if str(x.compile_id) == self.compile_id), None)


def _rivals(one: Any, other: Any) -> bool:
    """Whether Dynamo looks for a call's graph among both: they are of the same `torch.compile`."""
    regions = [getattr(x, "isolate_recompiles_id", None) for x in (one, other)]
    return regions[0] == regions[1] and (one.backend is other.backend or one.backend == other.backend)


def _likeness(value: Any) -> Callable[[], Any]:
    """Return what makes a value that guards cannot tell from `value`, and raises if nothing does."""
    if isinstance(value, torch.Tensor):
        return _likeness_of_tensor(value)
    if isinstance(value, _PLAIN):
        return lambda: value
    if type(value) in (list, tuple):
        parts = [_likeness(x) for x in value]
        return lambda: type(value)([make() for make in parts]) if parts else type(value)()
    if type(value) is dict:
        named = {name: _likeness(x) for name, x in value.items()}
        return lambda: {name: make() for name, make in named.items()}
    return _reference(value)


def _likeness_of_tensor(value: torch.Tensor) -> Callable[[], Any]:
    if isinstance(value, nn.Parameter):
        return _reference(value)
    kind, size, stride, dtype, device = type(value), value.shape, value.stride(), value.dtype, value.device
    requires_grad, inference = value.requires_grad, value.is_inference()

    def make() -> Any:
        with torch.inference_mode(inference):
            made = torch.empty_strided(size, stride, dtype=dtype, device=device)
        assert type(made) is kind
        return made.requires_grad_(requires_grad) if requires_grad else made

    return make


def _reference(value: Any) -> Callable[[], Any]:
    known = weakref.ref(value) if hasattr(type(value), "__weakref__") or callable(value) else None

    def find() -> Any:
        found = known() if known is not None else None
        if found is None:
            raise LookupError(f"this {type(value).__name__} is gone")
        return found

    return find


_Modes = tuple[bool, bool, bool, torch.dtype]


def _modes() -> _Modes:
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("hpu"),
        torch.get_autocast_dtype("hpu"),
    )


@contextlib.contextmanager
def _within(modes: _Modes) -> Iterator[None]:
    gradients, inference, autocast, dtype = modes
    with (
        torch.inference_mode(inference),
        torch.set_grad_enabled(gradients),
        torch.autocast("hpu", dtype, enabled=autocast),
    ):
        yield
