"""The sizes of a tensor and of the host tensor behind it are one to `torch.export`, whatever its dimensions are called.

A tensor of the device is traced as a subclass with an inner tensor, whose sizes have symbols of their own. Where
``dynamic_shapes`` names a dimension, PyTorch lets it vary in the outer tensor only, finds that both must always be
equal, and refuses because nobody said so.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from typing import Any

from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.on_import import when_loaded

_CONTEXTS = (
    ("torch._export.non_strict_utils", "_create_symbolic_context_for_tensor"),
    ("torch._dynamo.variables.builder", "_automatic_dynamic"),
)


def register() -> None:
    """Say so, as soon as what asks for it is there."""
    when_loaded("torch.fx.experimental.symbolic_shapes", _say_equal)
    for module, function in _CONTEXTS:
        when_loaded(module, functools.partial(_let_both_vary, module, function))


def _say_equal() -> None:
    from torch.fx.experimental.symbolic_shapes import EqualityConstraint

    stock: Any = EqualityConstraint._find

    def find(self: EqualityConstraint, source: Any) -> Any:
        return stock(self, _outer(source))

    EqualityConstraint._find = find  # type: ignore[method-assign]


def _let_both_vary(module: str, function: str) -> None:
    """Let a named size vary in both, where `function` says of a tensor which of its sizes vary."""
    owner = sys.modules[module]
    stock: Any = getattr(owner, function)

    def context_of(t: Any, *args: Any, **kwargs: Any) -> Any:
        context = stock(t, *args, **kwargs)
        # PyTorch asks for the outer tensor alone too.
        inner = getattr(context, "inner_contexts", None)
        if isinstance(t, HpuTensor) and inner and any(context.constraint_sizes):
            inner["_host"] = _varying(inner["_host"], context.constraint_sizes)
        return context

    setattr(owner, function, context_of)


def _varying(inner: Any, named: Any) -> Any:
    from torch.fx.experimental.symbolic_shapes import DimDynamic

    sizes, own = inner.dynamic_sizes, inner.constraint_sizes
    return dataclasses.replace(
        inner,
        dynamic_sizes=[DimDynamic.DYNAMIC if name else size for size, name in zip(sizes, named, strict=True)],
        # What is asked of the outer size holds.
        constraint_sizes=[None if name else mine for mine, name in zip(own, named, strict=True)],
    )


def _outer(source: Any) -> Any:
    """Return where a size comes from, with the tensor of the device instead of the host tensor behind it."""
    inner: Any = getattr(source, "base", None)
    if getattr(inner, "member", None) != "_host":
        return source
    return dataclasses.replace(source, base=inner.base)
