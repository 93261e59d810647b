"""Which operators may fall back to the host: ``PT_HPU_PLACE_ON_CPU``, a list with commas, read at the first fallback.

An empty list allows every operator, and ``none`` in it allows no one; otherwise those that it names may. A name is
taken with and without its namespace and its overload, ``aten::nonzero`` or ``nonzero``. What the device has a kernel
for does not fall back there, whatever the list says; `device.device_operators` knows it.

In lazy mode an operator falls back if it cannot be recorded, because what it returns depends on values, or nobody can
say what that will be. In eager mode every operator runs at once, and nothing there tells which ones: the same question
is put to those that are suspected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from gaudi_lab.emulator.device.device_operators import has_kernel
from gaudi_lab.emulator.device.events import EventId, publish
from gaudi_lab.emulator.lazy.shape_inference import infer
from gaudi_lab.emulator.process import flags

watchers: list[Callable[[str, Any], None]] = []
"""Told of each operator that has run on the host, and of what it returned."""


def note(func: Any, result: Any) -> None:
    """Tell that an operator has run on the host."""
    publish(EventId.CPU_FALLBACK, op_name=str(func))
    if not watchers:
        return
    # Behind a graph break Dynamo looks at every frame, and what watchers do is nothing to compile.
    looking = torch._C._dynamo.eval_frame.set_eval_frame(None)
    try:
        for tell in watchers:
            tell(str(func), result)
    finally:
        torch._C._dynamo.eval_frame.set_eval_frame(looking)


def is_suspected(func: Any) -> bool:
    """Return whether there may be calls of an operator that run on the host."""
    known_to = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
    return not known_to.isdisjoint(func.tags) or func.namespace not in _PYTORCHS or infer.is_distrusted(func)


def falls_back(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Return whether this call of a suspected operator runs on the host: lazy mode could not record it."""
    key = func, _kinds(args), _kinds(kwargs)
    known = _fallen_back.get(key)
    if known is None:
        known = _fallen_back[key] = _is_refused(func, args, kwargs)
    return known


_PYTORCHS = {"aten", "prims", "hpu", "c10d", "_c10d_functional"}
_fallen_back: dict[Any, bool] = {}


def _kinds(x: Any) -> Any:
    """Return what decides whether an operator's results are known beforehand: no sizes, and no values."""
    if isinstance(x, torch.Tensor):
        return x.dtype
    if isinstance(x, (list, tuple)):
        return tuple(map(_kinds, x))
    if isinstance(x, dict):
        return tuple([(name, _kinds(value)) for name, value in x.items()])
    return x.__class__


def _is_refused(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    try:
        infer.result(func, args, kwargs)
    except infer.NotRecordable as error:
        return infer.refusal(error) is None
    except infer.OnAnotherDevice:  # its operands are a matter for who runs it
        return False
    return False


def check(func: Any) -> None:
    """Raise the bridge's RuntimeError if the operator would run on the host and may not."""
    allowed = _allowed_names()
    if allowed is not None and not allowed & _names(func) and not has_kernel(func):
        raise RuntimeError(f"{func.name()} is not yet supported on HPU.")


@functools.cache
def _allowed_names() -> frozenset[str] | None:
    listed = flags.get("PT_HPU_PLACE_ON_CPU")
    if not listed:
        return None
    names = frozenset(name.strip() for name in listed.split(","))
    return frozenset() if "none" in names else names


def _names(func: Any) -> set[str]:
    full = func.name()
    bare = full.partition(".")[0]
    return {full, bare, full.partition("::")[2], bare.partition("::")[2]}
