"""Numbers of four bits: `convert_from_uint4` and `convert_from_int4`.

Eight of them lie in one int32, the first in its lowest bits. The layout is that of the bridge's tests (release 1.19);
groups and `g_idx` are as the callers for GPTQ and AWQ models lay them out.
"""

from __future__ import annotations

import functools

import torch

from gaudi_lab.emulator.kernels.library import define
from gaudi_lab.emulator.kernels.low_bits.float8 import FLOAT8, round_to

_PACKED = 8


def _convert(
    signed: bool,
    data: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor | None,
    out_dtype: torch.dtype,
    g_idx: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return `(data - zero_point) * scale` in `out_dtype`, (..., columns) from packed data (..., columns / 8).

    Parameters
    ----------
    scale
        (..., columns), or (groups, columns) for data of so many groups of rows.
    zero_point
        As `scale`, or packed as the data are; None for zero.
    g_idx
        The group of each row, (rows,); by default groups are of equal size, one after the other.
    """
    numbers = _unpack(data, signed)
    if zero_point is None:
        zeros = torch.zeros(())
    elif zero_point.dtype == torch.int32:
        zeros = _unpack(zero_point, signed)
    else:
        zeros = zero_point.float()
    result = (numbers - _of_rows(zeros, numbers, g_idx)) * _of_rows(scale.float(), numbers, g_idx)
    return round_to(result, out_dtype) if out_dtype in FLOAT8 else result.to(out_dtype)


def _convert_fake(data, scale, zero_point, out_dtype, g_idx=None):  # type: ignore[no-untyped-def]
    return data.new_empty((*data.shape[:-1], data.shape[-1] * _PACKED), dtype=out_dtype)


def _unpack(packed: torch.Tensor, signed: bool) -> torch.Tensor:
    shifts = torch.arange(0, 32, 4, dtype=torch.int32)
    numbers = (packed.unsqueeze(-1) >> shifts) & 15
    if signed:
        numbers = torch.where(numbers > 7, numbers - 16, numbers)
    return numbers.flatten(-2).float()


def _of_rows(x: torch.Tensor, numbers: torch.Tensor, g_idx: torch.Tensor | None) -> torch.Tensor:
    """Return the group's row of `x` for each row of `numbers`; what broadcasts already stays as it is."""
    if x.dim() < 2 or numbers.dim() < 2:
        return x
    if g_idx is not None:
        return x[g_idx.long()]
    rows, groups = numbers.shape[-2], x.shape[-2]
    return x if groups in (1, rows) else x.repeat_interleave(rows // groups, -2)


for _kind, _signed in (("int4", True), ("uint4", False)):
    define(
        f"convert_from_{_kind}(Tensor input, Tensor scale, Tensor? zero_point, ScalarType out_dtype, "
        "Tensor? g_idx=None) -> Tensor",
        functools.partial(_convert, _signed),
        _convert_fake,
    )
