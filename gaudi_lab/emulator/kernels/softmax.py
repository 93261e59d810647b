"""Softmax in one kernel: `custom_softmax` with its backward, and `softmax_fp8` for quantised attention.

The rules and messages of `softmax_fp8` are those of the bridge's source (release 1.19).
"""

from __future__ import annotations

import torch

from gaudi_lab.emulator.kernels.library import define
from gaudi_lab.emulator.kernels.low_bits.float8 import Scale, lay_out, round_to


def _softmax(data: torch.Tensor, flavor: int) -> torch.Tensor:
    """Return the softmax of `data`. The flavours differ in the device's approximation, of which the host has none."""
    return torch.softmax(data, -1)


def _softmax_backward(grad: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    return torch.ops.aten._softmax_backward_data.default(grad, out, -1, out.dtype)


def _like_first(data, *rest):  # type: ignore[no-untyped-def]
    return data.new_empty(data.shape)


def _softmax_float8(
    data: torch.Tensor,
    dim: int,
    input_scale: Scale = None,
    output_scale: Scale = None,
    inv_attn_heads: Scale = None,
    fused_add: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the softmax of `data * inv_attn_heads * input_scale + fused_add` along `dim`.

    With scales the result is e4m3, multiplied by `output_scale`; without, it is bfloat16.

    Parameters
    ----------
    data
        bfloat16, or e4m3 with a scale.
    fused_add
        Of the rank of `data` and its first and last size; the sizes between may be 1. Only with scales.
    """
    _check(data, input_scale, output_scale, fused_add)
    scores = data.float()
    for factor in (lay_out(inv_attn_heads), lay_out(input_scale)):
        scores = scores if factor is None else scores * factor.float()
    if fused_add is not None:
        scores = scores + fused_add.float()
    out = torch.softmax(scores, dim).to(torch.bfloat16)
    by = lay_out(output_scale)
    return out if by is None else round_to(out.float() * by.float(), torch.float8_e4m3fn)


def _softmax_float8_fake(  # type: ignore[no-untyped-def]
    data, dim, input_scale=None, output_scale=None, inv_attn_heads=None, fused_add=None
):
    _check(data, input_scale, output_scale, fused_add)
    return data.new_empty(data.shape, dtype=torch.bfloat16 if input_scale is None else torch.float8_e4m3fn)


def _check(
    data: torch.Tensor, input_scale: Scale, output_scale: Scale, fused_add: torch.Tensor | None
) -> None:
    if data.dtype not in (torch.bfloat16, torch.float8_e4m3fn):
        raise RuntimeError("Input tensor must be of torch.bfloat16 or torch.float8_e4m3fn dtype.")
    if (input_scale is None) != (output_scale is None):
        raise RuntimeError("Output and input scales must be both given or None")
    if data.dtype == torch.float8_e4m3fn and input_scale is None:
        raise RuntimeError("If Input is of torch.float8_e4m3fn dtype then input scale must be given.")
    if fused_add is None:
        return
    if input_scale is None:
        raise RuntimeError("FusedAdd available only for Float8 output, but input scale is not given.")
    if fused_add.dim() != data.dim():
        raise RuntimeError("FusedAdd tensor must have the same rank as the input tensor")
    if (fused_add.shape[0], fused_add.shape[-1]) != (data.shape[0], data.shape[-1]):
        raise RuntimeError("FusedAdd tensor must have the same first and last dim as the input tensor")
    if any(a not in (1, b) for a, b in zip(fused_add.shape[1:-1], data.shape[1:-1], strict=True)):
        raise RuntimeError(
            "FusedAdd tensor's dim other than first and last should be equal to 1 or the same as the input tensor"
        )


define("custom_softmax(Tensor input, int flavor) -> Tensor", _softmax, _like_first)
define("custom_softmax_backward(Tensor grad, Tensor out) -> Tensor", _softmax_backward, _like_first)
for _overload, _scales in (
    ("", "Tensor? input_scale=None, Tensor? output_scale=None, Tensor? inv_attn_heads=None"),
    (".Scalar_scales", "float input_scale, float output_scale, Tensor? inv_attn_heads=None"),
    (".Scalar", "float input_scale, float output_scale, float inv_attn_heads"),
):
    define(
        f"softmax_fp8{_overload}(Tensor input, int dim, {_scales}, Tensor? fused_add=None) -> Tensor",
        _softmax_float8,
        _softmax_float8_fake,
    )
