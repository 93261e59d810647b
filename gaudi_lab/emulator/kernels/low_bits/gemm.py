"""`fp8_gemm_v2`: a product of matrices of eight-bit numbers, with their scales, a bias and a sum in one kernel.

Signature and messages are those of the bridge's source (release 1.19); that scales of blocks are taken, as
`cast_to_fp8_just_in_time` makes them, follows from the callers of newer releases.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gaudi_lab.emulator.kernels.library import define
from gaudi_lab.emulator.kernels.low_bits.float8 import Scale, lay_out, spread, widen


def _gemm(
    a: torch.Tensor,
    trans_a: bool,
    b: torch.Tensor,
    trans_b: bool,
    d: torch.Tensor | None,
    out_dtype: torch.dtype,
    a_scale_inv: Scale = None,
    b_scale_inv: Scale = None,
    bias: torch.Tensor | None = None,
    accumulate: bool = False,
    b_scale_shape: Sequence[int] | None = None,
) -> torch.Tensor:
    """Return `a @ b`, scaled, plus `bias`, plus `d` if `accumulate` says so.

    Parameters
    ----------
    a, b
        (..., rows, inner) and (..., inner, columns), or the other way round where `trans_` says so; vectors too.
    a_scale_inv, b_scale_inv
        What turns `a` and `b` back into numbers: something that broadcasts to the result, or scales of blocks,
        (rows, inner blocks) and (inner blocks, column blocks).
    """
    _check(accumulate, d)
    a, b = _turn(widen(a), trans_a), _turn(widen(b), trans_b)
    by_a, by_b = lay_out(a_scale_inv), lay_out(b_scale_inv, b_scale_shape)
    if by_a is not None and by_b is not None and _of_blocks(by_a, by_b, a, b):
        out = (a * spread(by_a.float(), *a.shape[-2:])) @ (b * spread(by_b.float(), *b.shape[-2:]))
    else:
        out = a @ b
        for by in (by_a, by_b):
            out = out if by is None else out * by.float()
    out = out if bias is None else out + bias.float()
    return (out + d.float() if accumulate and d is not None else out).to(out_dtype)


def _gemm_out(
    a: torch.Tensor, trans_a: bool, b: torch.Tensor, trans_b: bool, d: torch.Tensor, out_dtype: torch.dtype,
    a_scale_inv: Scale, b_scale_inv: Scale, bias: torch.Tensor | None, accumulate: bool, out: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """Write what `fp8_gemm_v2` returns into `out`: the older form."""
    made = _gemm(a, trans_a, b, trans_b, d, out_dtype, a_scale_inv, b_scale_inv, bias, accumulate)
    return out.copy_(made)


def _gemm_out_fake(*args):  # type: ignore[no-untyped-def]
    return args[-1]


def _gemm_fake(a, trans_a, b, trans_b, d, out_dtype, *rest, **named):  # type: ignore[no-untyped-def]
    _check(rest[3] if len(rest) > 3 else named.get("accumulate", False), d)
    a, b = [_turn(x.new_empty(x.shape, dtype=torch.float32), t) for x, t in ((a, trans_a), (b, trans_b))]
    return (a @ b).to(out_dtype)


def _check(accumulate: bool, d: torch.Tensor | None) -> None:
    if accumulate and d is None:
        raise RuntimeError(
            "Accumulation tensor must be provided at index 4 for Fp8GemmV2, when accumulate is true"
        )


def _turn(x: torch.Tensor, turn: bool) -> torch.Tensor:
    return x.transpose(-2, -1) if turn else x


def _of_blocks(by_a: torch.Tensor, by_b: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return True if the scales are of blocks: more than one for a row of `a`, or too few for the columns of `b`."""
    if by_a.dim() < 2 or by_b.dim() < 2 or a.dim() < 2 or b.dim() < 2:
        return False
    return by_a.shape[-1] > 1 or by_b.shape[-1] not in (1, b.shape[-1])


_HEAD = "Tensor A, bool trans_A, Tensor B, bool trans_B, Tensor? D, ScalarType out_dtype, "
_TAIL = "Tensor? bias=None, bool accumulate=False, int[]? B_scale_shape=None) -> Tensor"
for _overload, _scales in (
    ("", "Tensor? A_scale_inv=None, Tensor? B_scale_inv=None, "),
    (".scalar", "float A_scale_inv, float B_scale_inv, "),
    (".scalar_list", "float[] A_scale_inv, float[] B_scale_inv, "),
):
    define(f"fp8_gemm_v2{_overload}({_HEAD}{_scales}{_TAIL}", _gemm, _gemm_fake)
define(
    "fp8_gemm(Tensor A, bool trans_A, Tensor B, bool trans_B, Tensor D, ScalarType out_dtype, Tensor? A_scale_inv, "
    "Tensor? B_scale_inv, Tensor? bias, bool accumulate, Tensor(a!) out) -> Tensor(a!)",
    _gemm_out,
    _gemm_out_fake,
)
