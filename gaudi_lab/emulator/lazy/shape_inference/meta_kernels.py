"""Which operators say by their kernels for meta tensors what they return on the host, in microseconds.

PyTorch's fake tensors ask the same kernels, or decompositions in Python, and take up to a millisecond for it. Of the
operators here it is tested that the kernel alone returns what the host does: sizes, strides, offset and dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gaudi_lab.emulator.device.host_kernels import host_kernel
from gaudi_lab.emulator.device.tensor import HpuTensor


def run_on_meta(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Return what `func` returns for meta tensors in the place of the device's; None if that has to be asked elsewhere.

    It has if the operator is none of those here, is given something else of the device than tensors, or refuses its
    arguments.
    """
    if func not in OPERATORS or "device" in kwargs:
        return None
    if func in _NORMS and args[0].dtype not in (torch.float32, torch.float64):
        return None  # the host has statistics of 16 bits
    try:
        given = [_meta(x) for x in args]
        named = {name: _meta(x) for name, x in kwargs.items()} if kwargs else {}
        return host_kernel(func)(*given, **named)
    except Exception:
        return None  # whose refusal it is, and in which words, the fake tensors know


def _meta(x: Any) -> Any:
    if x.__class__ is HpuTensor:
        size, stride, offset, dtype = x.size(), x.stride(), x.storage_offset(), x.dtype
        if not offset:
            return torch.empty_strided(size, stride, dtype=dtype, device="meta")
        extent = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if x.numel() else 0
        return torch.empty(offset + extent, dtype=dtype, device="meta").as_strided(size, stride, offset)
    if isinstance(x, (list, tuple)):
        return [_meta(y) for y in x]
    if isinstance(x, (torch.Tensor, torch.device, torch.Generator)):
        raise TypeError(x)
    return x


_NAMES = """
_adaptive_avg_pool2d _log_softmax _safe_softmax _softmax _to_copy _unsafe_view abs add.Scalar add.Tensor add_.Tensor
addcdiv addcmul addmm all all.dim amax any any.dim argmax as_strided avg_pool2d baddbmm bmm cat clamp clone
constant_pad_nd copy_ cos cumsum diagonal div.Scalar div.Tensor embedding empty_like eq.Scalar eq.Tensor erf exp
expand fill.Scalar flip full_like gather ge.Scalar ge.Tensor gelu gt.Scalar gt.Tensor hardtanh index_select
le.Scalar le.Tensor leaky_relu lerp.Scalar linear log logical_and logical_not lt.Scalar lt.Tensor masked_fill.Scalar
masked_fill.Tensor masked_fill_.Scalar matmul max_pool2d_with_indices maximum mean.dim minimum mm mul.Scalar mul.Tensor
mul_.Tensor native_group_norm native_layer_norm ne.Scalar ne.Tensor neg new_full new_ones new_zeros ones_like
permute pow.Tensor_Scalar pow.Tensor_Tensor reciprocal relu repeat roll rsqrt rsub.Scalar select.int sigmoid silu
sin slice.Tensor softplus split.Tensor split_with_sizes sqrt squeeze squeeze.dim squeeze.dims stack sub.Tensor
sum.dim_IntList t tanh transpose.int tril triu unbind.int unfold unsqueeze upsample_nearest2d var.correction
var_mean.correction view where.self zeros_like
"""


def _named(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), overload or "default")


_NORMS = {_named("native_layer_norm"), _named("native_group_norm")}
OPERATORS = {_named(name) for name in _NAMES.split()}
