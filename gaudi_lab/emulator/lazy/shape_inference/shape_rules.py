"""What a model's commonest operators return, told from the sizes of their operands in a microsecond or two.

PyTorch's kernels for meta tensors say it too, of these in Python and in a tenth of a millisecond to a whole one. A rule
speaks for floating-point tensors that are laid out as PyTorch lays out new ones, and only where the host would not
refuse its arguments; for all else it keeps silent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.lazy.program import Meta


def tell(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Meta | tuple[Meta, ...] | None:
    """Return what `func` returns, or None if no rule speaks for it."""
    rule = _RULES.get(func)
    if rule is None:
        return None
    try:
        return rule(*args, **kwargs)
    except TypeError:  # arguments that the rule does not know
        return None


def _plain(x: Any) -> Meta | None:
    """Return a tensor's sizes and dtype, if it is floating-point and laid out as a new one, with something in it."""
    if not isinstance(x, HpuTensor) or x.dtype not in _DTYPES:
        return None
    found = Meta(x.size(), x.stride(), 0, x.dtype)
    return found if found.is_plain and 0 not in found.size else None


def _dense(x: Any) -> Meta | None:
    """Return a tensor's sizes, strides and dtype, if it is a new one but for the order of its dimensions.

    The host keeps that order where it works number by number. Among equal strides it takes the smaller size for the
    inner one.
    """
    if not isinstance(x, HpuTensor) or x.dtype not in _DTYPES:
        return None
    found = Meta(x.size(), x.stride(), 0, x.dtype)
    if 1 in found.size and not found.is_plain and _in_a_format(x):
        return None  # which PyTorch then takes at its word: the strides of a single element become others
    step = 1
    for stride, n in sorted(zip(found.stride, found.size, strict=True)):
        if stride != step or not n:
            return None
        step *= n
    return found


def _in_a_format(x: HpuTensor) -> bool:
    formats = [torch.contiguous_format]
    formats += [torch.channels_last] if x.dim() == 4 else []
    formats += [torch.channels_last_3d] if x.dim() == 5 else []
    return any(x.is_contiguous(memory_format=kind) for kind in formats)


def _gelu(x: Any, *, approximate: str = "none") -> Meta | None:
    return _dense(x) if approximate in ("none", "tanh") else None


def _with_other(x: Any, other: Any) -> Meta | None:
    """Tell of an operator that works on pairs of numbers: one of the operands has the sizes of the result."""
    if other.__class__ is int or other.__class__ is float:
        return _dense(x)
    one, two = _plain(x), _plain(other)
    if one is None or two is None or one.dtype is not two.dtype:
        return None
    if _spreads(two.size, one.size):
        return one
    return two if _spreads(one.size, two.size) else None


def _spreads(size: Sequence[int], over: Sequence[int]) -> bool:
    """Return whether a tensor of `size` is spread over one of the sizes `over`."""
    return len(size) <= len(over) and all(
        a in (1, b) for a, b in zip(reversed(size), reversed(over), strict=False)
    )


def _along(x: Any, dim: int, *rest: Any) -> Meta | None:
    found = _plain(x)
    known = found is not None and -len(found.size) <= dim < len(found.size) and not any(rest)
    return found if known else None


def _linear(x: Any, weight: Any, bias: Any = None) -> Meta | None:
    columns = _matrix(weight)
    # A matrix may lie as it likes; of more dimensions PyTorch makes one, if it can.
    if columns is None or (_matrix(x) is None and (_plain(x) is None or x.dim() < 2)):
        return None
    *rows, width = x.size()
    out, known = columns
    if width != known or x.dtype is not weight.dtype or not _is_part(bias, (out,), x.dtype):
        return None
    return _new((*rows, out), x.dtype)


def _addmm(added: Any, one: Any, other: Any) -> Meta | None:
    left, right, known = _matrix(one), _matrix(other), _plain(added)
    if left is None or right is None or known is None or left[1] != right[0]:
        return None
    size = (left[0], right[1])
    alike = one.dtype is other.dtype is known.dtype
    return _new(size, known.dtype) if alike and _spreads(known.size, size) else None


def _matrix(x: Any) -> tuple[int, ...] | None:
    """Return the sizes of a floating-point matrix, however it is laid out."""
    known = isinstance(x, HpuTensor) and x.dim() == 2 and x.numel() and x.dtype in _DTYPES
    return tuple(x.size()) if known else None


def _layer_norm(x: Any, shape: Any, weight: Any, bias: Any, _: float) -> tuple[Meta, ...] | None:
    found, shape = _plain(x), tuple(shape)
    if found is None or found.dtype not in (torch.float32, torch.float64):
        return None  # the host has statistics of 16 bits
    kept = len(found.size) - len(shape)
    if kept < 0 or not shape or tuple(found.size[kept:]) != shape:
        return None
    if not all(_is_part(part, shape, found.dtype) for part in (weight, bias)):
        return None
    statistics = _new((*found.size[:kept], *[1] * len(shape)), found.dtype)
    return found, statistics, statistics


def _is_part(x: Any, size: tuple[int, ...], dtype: torch.dtype) -> bool:
    """Return whether this may be a weight or a bias of these sizes; there need not be one."""
    return x is None or (isinstance(x, HpuTensor) and x.size() == size and x.dtype is dtype)


def _new(size: Sequence[int], dtype: torch.dtype) -> Meta:
    strides, step = [], 1
    for n in reversed(size):
        strides.append(step)
        step *= n
    return Meta(torch.Size(size), tuple(reversed(strides)), 0, dtype)


_DTYPES = {torch.float32, torch.float64, torch.bfloat16, torch.float16}

_aten = torch.ops.aten
_POINTWISE = "cos exp neg relu rsqrt sigmoid silu sin sqrt tanh"
_RULES: dict[Any, Callable[..., Meta | tuple[Meta, ...] | None]] = {
    **dict.fromkeys([getattr(_aten, name).default for name in _POINTWISE.split()], _dense),
    **dict.fromkeys([_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.div.Tensor], _with_other),
    **dict.fromkeys([_aten.add.Scalar, _aten.mul.Scalar, _aten.div.Scalar], _with_other),
    **dict.fromkeys([_aten._softmax.default, _aten._safe_softmax.default], _along),
    _aten.gelu.default: _gelu,
    _aten.linear.default: _linear,
    _aten.addmm.default: _addmm,
    _aten.native_layer_norm.default: _layer_norm,
}
