"""Casts to and from numbers of eight bits: `cast_to_fp8_v2`, `cast_to_fp8_just_in_time`, `cast_from_fp8`.

A scale multiplies, in either direction: what was cast with `s` comes back with `1 / s`. It is one number, or one for
each channel, which broadcasts to the data; `scale_shape` says how where it is a list or flat.

Signatures, messages and saturation are those of the bridge's source (release 1.19) and of its tests; of
`cast_to_fp8_just_in_time`, which is newer, those that its callers rely on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gaudi_lab.emulator.kernels.library import define
from gaudi_lab.emulator.kernels.low_bits.float8 import (
    BITS,
    FLOAT8,
    LARGEST,
    Scale,
    check_shape,
    lay_out,
    round_to,
    scale_by,
    spread,
    widen,
)


def _to_float8(
    data: torch.Tensor,
    scale: Scale = None,
    stochastic_rounding: bool = False,
    is_amax: bool = False,
    dtype: torch.dtype | None = None,
    scale_shape: Sequence[int] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `data * scale` in `dtype` and the largest magnitude of `data`, a float32 scalar (empty if not asked for).

    Without a dtype the result is e5m2 as its bits, in int8.
    """
    _check_cast(data, is_amax, dtype)
    amax = data.abs().amax().float() if is_amax else torch.empty(0)
    if data.dtype in FLOAT8:
        data = data.float()
    result = round_to(
        scale_by(data, lay_out(scale, scale_shape)), dtype or torch.float8_e5m2, stochastic_rounding
    )
    return (result if dtype is not None else result.view(BITS)), amax


def _to_float8_fake(data, scale=None, stochastic=False, is_amax=False, dtype=None, scale_shape=None):  # type: ignore[no-untyped-def]
    _check_cast(data, is_amax, dtype)
    check_shape(scale, scale_shape)
    amax = data.new_empty(() if is_amax else (0,), dtype=torch.float32)
    return data.new_empty(data.shape, dtype=dtype or BITS), amax


def _check_cast(data: torch.Tensor, is_amax: bool, dtype: torch.dtype | None) -> None:
    if data.dtype not in (torch.float32, torch.bfloat16, *FLOAT8):
        raise RuntimeError(
            "CastToFp8V2 input dtype must be one of [float, bfloat16, float8_e5m2, float8_e4m3fn]."
        )
    if dtype is not None and dtype not in FLOAT8:
        raise RuntimeError(f"CastToFp8V2 output dtype must be float8_e5m2 or float8_e4m3fn, not {dtype}.")
    if data.dtype in FLOAT8:
        if is_amax:
            raise RuntimeError("CastToFp8V2 must have no amax for float8.")
        if data.dtype != dtype:
            raise RuntimeError(
                "CastToFp8V2 input and output must have the same dtype for float8, but are "
                f"{_name(data.dtype)} and {_name(dtype)}"
            )


def _name(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.").capitalize()


def _to_float8_out(
    data: torch.Tensor, scale: Scale, stochastic_rounding: bool, out: torch.Tensor, amax: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write `data * scale` into `out` and the largest magnitude of `data` into `amax`: the older form."""
    dtype = out.dtype if out.dtype in FLOAT8 else None
    made, largest = _to_float8(data, scale, stochastic_rounding, data.dtype not in FLOAT8, dtype)
    out.copy_(made)
    if largest.numel():
        amax.copy_(largest)
    return out, amax


def _to_float8_out_fake(data, scale, stochastic_rounding, out, amax):  # type: ignore[no-untyped-def]
    return out, amax


def _to_both(
    data: torch.Tensor,
    scale_152: torch.Tensor | None = None,
    scale_143: torch.Tensor | None = None,
    stochastic_rounding: bool = False,
    is_amax: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return `data` in e5m2 and in e4m3, each times its scale, and the largest magnitude of `data`.

    Only e5m2, the gradients' type, is rounded by chance where that is asked for.
    """
    wide, amax = _to_float8(data, scale_152, stochastic_rounding, is_amax, torch.float8_e5m2)
    return wide, _to_float8(data, scale_143, False, False, torch.float8_e4m3fn)[0], amax


def _to_both_fake(data, scale_152=None, scale_143=None, stochastic_rounding=False, is_amax=False):  # type: ignore[no-untyped-def]
    wide, amax = _to_float8_fake(data, scale_152, stochastic_rounding, is_amax, torch.float8_e5m2)
    return wide, torch.empty_like(wide, dtype=torch.float8_e4m3fn), amax


def _from_float8(
    data: torch.Tensor, scale: Scale, out_dtype: torch.dtype, scale_shape: Sequence[int] | None = None
) -> torch.Tensor:
    """Return `data * scale` in `out_dtype`."""
    _check_dtype(out_dtype)
    return scale_by(widen(data, out_dtype), lay_out(scale, scale_shape))


def _from_float8_fake(data, scale, out_dtype, scale_shape=None):  # type: ignore[no-untyped-def]
    _check_dtype(out_dtype)
    check_shape(scale, scale_shape)
    return data.new_empty(data.shape, dtype=out_dtype)


def _check_dtype(out_dtype: torch.dtype) -> None:
    if out_dtype not in (torch.float32, torch.bfloat16):
        raise RuntimeError("CastFromFp8 output dtype must be equal to float or bfloat16.")


def _just_in_time(
    data: torch.Tensor, block: Sequence[int], *, out_dtype: torch.dtype, scale_dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `data` (..., rows, columns) in `out_dtype` and the scales that turn it back, (..., row and column blocks).

    The largest magnitude of a block of `block` = (rows, columns) becomes the largest number that `out_dtype` has. A
    block of zeros has scale 1.
    """
    shape = _blocks(data, block)
    rows, columns = data.shape[-2:]
    blocks = data.float().reshape(*data.shape[:-2], shape[-2], block[0], shape[-1], block[1])
    amax = blocks.abs().amax((-3, -1))
    # What is stored is rounded, and it is that by which the data are divided.
    scale = torch.where(amax == 0, 1.0, amax / LARGEST[out_dtype]).to(scale_dtype)
    return round_to(data.float() / spread(scale.float(), rows, columns), out_dtype), scale


def _just_in_time_fake(data, block, *, out_dtype, scale_dtype):  # type: ignore[no-untyped-def]
    return data.new_empty(data.shape, dtype=out_dtype), data.new_empty(
        _blocks(data, block), dtype=scale_dtype
    )


def _blocks(data: torch.Tensor, block: Sequence[int]) -> list[int]:
    rows, columns = data.shape[-2:]
    if rows % block[0] or columns % block[1]:
        raise RuntimeError(
            f"blocks of {block[0]} by {block[1]} do not divide {rows} by {columns}: pad to whole blocks"
        )
    return [*data.shape[:-2], rows // block[0], columns // block[1]]


for _overload, _scale in (
    ("", "Tensor? scale=None"),
    (".scalar", "float scale"),
    (".scalar_list", "float[] scale"),
):
    define(
        f"cast_to_fp8_v2{_overload}(Tensor input, {_scale}, bool stochastic_rounding=False, bool is_amax=False, "
        "ScalarType? dtype=None, int[]? scale_shape=None) -> (Tensor, Tensor)",
        _to_float8,
        _to_float8_fake,
    )
for _overload, _scale in (
    ("", "Tensor? scale"),
    (".scalar", "float scale"),
    (".scalar_list", "float[] scale"),
):
    define(
        f"cast_from_fp8{_overload}(Tensor input, {_scale}, ScalarType out_dtype, int[]? scale_shape=None) -> Tensor",
        _from_float8,
        _from_float8_fake,
    )
define(
    "cast_to_fp8(Tensor input, Tensor? scale, bool stochastic_rounding, Tensor(a!) out, Tensor(b!) amax) "
    "-> (Tensor(a!), Tensor(b!))",
    _to_float8_out,
    _to_float8_out_fake,
)
define(
    "cast_to_fp8_hybrid(Tensor input, Tensor? scale_152=None, Tensor? scale_143=None, "
    "bool stochastic_rounding=False, bool is_amax=False) -> (Tensor, Tensor, Tensor)",
    _to_both,
    _to_both_fake,
)
define(
    "cast_to_fp8_just_in_time(Tensor input, int[] block_size, *, ScalarType out_dtype, ScalarType scale_dtype) "
    "-> (Tensor, Tensor)",
    _just_in_time,
    _just_in_time_fake,
)
