"""Casts and products of eight-bit floats under the names that programs import: each is the operator of that name.

optimum-habana 1.21 still imports `cast_to_fp8_v2` from here, although the bridge's published source (1.19) has only
the operators.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

Scale = torch.Tensor | Sequence[float] | float | None


def cast_to_fp8_v2(
    input: torch.Tensor,
    scale: Scale = None,
    stochastic_rounding: bool = False,
    is_amax: bool = False,
    dtype: torch.dtype | None = None,
    scale_shape: Sequence[int] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `input * scale` in eight bits and the largest magnitude of `input`.

    Parameters
    ----------
    input
        float32 or bfloat16, or already of `dtype`.
    scale
        One, or one a channel, which broadcasts to the data or takes the shape `scale_shape`.
    stochastic_rounding
        Round up or down by chance, so that sums keep their mean.
    dtype
        `torch.float8_e4m3fn`, up to 240 as on Gaudi2, or `torch.float8_e5m2`; None for the bits of e5m2 in int8.
        What is too large becomes the largest number.

    Returns
    -------
    casted, amax
        `amax` is a float32 scalar, or empty without `is_amax`.

    Raises
    ------
    RuntimeError
        A dtype that the device cannot cast, or a scale that is not of `scale_shape`.
    """
    casted, amax = torch.ops.hpu.cast_to_fp8_v2(
        input, scale, stochastic_rounding, is_amax, dtype, scale_shape
    )
    return casted, amax


def cast_from_fp8(
    input: torch.Tensor,
    scale: Scale,
    out_dtype: torch.dtype,
    scale_shape: Sequence[int] | None = None,
) -> torch.Tensor:
    """Return `input * scale` in float32 or bfloat16.

    Raises
    ------
    RuntimeError
        Another `out_dtype`, or a scale that is not of `scale_shape`.
    """
    wide: torch.Tensor = torch.ops.hpu.cast_from_fp8(input, scale, out_dtype, scale_shape)
    return wide


def fp8_gemm_v2(
    A: torch.Tensor,
    trans_A: bool,
    B: torch.Tensor,
    trans_B: bool,
    D: torch.Tensor | None,
    out_dtype: torch.dtype,
    A_scale_inv: Scale = None,
    B_scale_inv: Scale = None,
    bias: torch.Tensor | None = None,
    accumulate: bool = False,
    B_scale_shape: Sequence[int] | None = None,
) -> torch.Tensor:
    """Return the product of `A` (..., rows, inner) and `B` (..., inner, columns), scaled, plus `bias`.

    Parameters
    ----------
    trans_A, trans_B
        The last two dimensions lie the other way round.
    D
        Added to the result if `accumulate` says so.
    A_scale_inv, B_scale_inv
        What turns each back into numbers: one, what broadcasts to the result, or scales of blocks.

    Raises
    ------
    RuntimeError
        `accumulate` without `D`.
    """
    product: torch.Tensor = torch.ops.hpu.fp8_gemm_v2(
        A, trans_A, B, trans_B, D, out_dtype, A_scale_inv, B_scale_inv, bias, accumulate, B_scale_shape
    )
    return product
