"""Layers over numbers of eight bits: `conv2d_fp8` and `sum_fp8`. They compute in float32 and round once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from gaudi_lab.emulator.kernels.library import define
from gaudi_lab.emulator.kernels.low_bits.float8 import Scale, lay_out, widen


def _conv2d(
    data: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
    out_dtype: torch.dtype | None = None,
    scale_input: Scale = None,
    scale_weight: Scale = None,
) -> torch.Tensor:
    """Return the convolution of `data` and `weight`, times both scales, plus `bias`.

    Parameters
    ----------
    data, weight
        (batch, channels, height, width) and (out channels, channels / groups, height, width), of eight bits.
    scale_input, scale_weight
        What turns them back into numbers: one number each, or one for each output channel.
    """
    out = F.conv2d(widen(data), widen(weight), None, stride, padding, dilation, groups)
    for scale in (lay_out(scale_input), lay_out(scale_weight)):
        if scale is not None:
            out = out * (scale.float() if scale.numel() == 1 else scale.float().reshape(-1, 1, 1))
    if bias is not None:
        out = out + bias.float().reshape(-1, 1, 1)
    return out.to(out_dtype or torch.bfloat16)


def _conv2d_fake(  # type: ignore[no-untyped-def]
    data, weight, bias=None, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, out_dtype=None,
    scale_input=None, scale_weight=None,
):  # fmt: skip
    a, b = [x.new_empty(x.shape, dtype=torch.float32) for x in (data, weight)]
    return F.conv2d(a, b, None, stride, padding, dilation, groups).to(out_dtype or torch.bfloat16)


def _sum(
    data: torch.Tensor,
    dim: Sequence[int] | None = None,
    keepdim: bool = False,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return the sum of `data` along `dim`, or of all of it, in `out_dtype` or in its own."""
    dims = None if dim is None else list(dim)
    return torch.sum(widen(data), dims, keepdim).to(out_dtype or data.dtype)


def _sum_fake(data, dim=None, keepdim=False, out_dtype=None):  # type: ignore[no-untyped-def]
    wide = data.new_empty(data.shape, dtype=torch.float32)
    return torch.sum(wide, dim, keepdim).to(out_dtype or data.dtype)


_HEAD = (
    "(Tensor input, Tensor weight, Tensor? bias=None, SymInt[2] stride=1, SymInt[2] padding=0, SymInt[2] dilation=1, "
    "int groups=1, ScalarType? out_dtype=None, "
)
for _overload, _scales in (
    ("", "Tensor? scale_input=None, Tensor? scale_weight=None"),
    (".scalar", "float scale_input=1.0, float scale_weight=1.0"),
):
    define(f"conv2d_fp8{_overload}{_HEAD}{_scales}) -> Tensor", _conv2d, _conv2d_fake)
define(
    "sum_fp8(Tensor self, int[1]? dim=None, bool keepdim=False, ScalarType? out_dtype=None) -> Tensor",
    _sum,
    _sum_fake,
)
