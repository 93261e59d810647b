"""Numbers of eight bits: what they can hold, how they round, and how a scale is laid over a tensor.

The device saturates: what is too large becomes the largest number, never infinity or NaN. The emulated generation is
Gaudi2, whose e4m3 ends at 240 where PyTorch's `torch.float8_e4m3fn` goes on to 448.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from gaudi_lab.emulator.device.random import on_device

Scale = torch.Tensor | Sequence[float] | float | None

FLOAT8 = (torch.float8_e5m2, torch.float8_e4m3fn)

# Up to 1.17 a number of eight bits travels as its bits.
BITS = torch.int8

LARGEST = {torch.float8_e4m3fn: 240.0, torch.float8_e5m2: torch.finfo(torch.float8_e5m2).max}

# Bits of the mantissa, and the exponent below which numbers are spaced evenly.
_SHAPE = {torch.float8_e4m3fn: (3, -6), torch.float8_e5m2: (2, -14)}


def round_to(x: torch.Tensor, dtype: torch.dtype, stochastic: bool = False) -> torch.Tensor:
    """Return `x` in `dtype`, rounded to the nearest (half to even), or up or down by chance.

    By chance means that a number is the more likely to go up the nearer it is to the upper one, so that sums keep
    their mean.
    """
    largest = LARGEST[dtype]
    if stochastic:
        x = _by_chance(x.float(), *_SHAPE[dtype])
    return x.clamp(-largest, largest).to(dtype)


def _by_chance(x: torch.Tensor, mantissa: int, lowest: int) -> torch.Tensor:
    _, exponent = torch.frexp(x)  # of a mantissa in [0.5, 1), hence the one
    step = torch.ldexp(torch.ones_like(x), (exponent - 1).clamp_min(lowest) - mantissa)
    return torch.floor(x / step + on_device(torch.rand)(x.shape)) * step


def widen(x: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the numbers of `x` in `dtype`."""
    return (x.view(torch.float8_e5m2) if x.dtype == BITS else x).to(dtype)


def lay_out(scale: Scale, shape: Sequence[int] | None = None) -> torch.Tensor | None:
    """Return `scale` as a tensor, in `shape` if it has more than one element and that is given.

    Raises
    ------
    RuntimeError
        The scale has not as many elements as `shape`.
    """
    if scale is None:
        return None
    found = scale if isinstance(scale, torch.Tensor) else torch.tensor(scale, dtype=torch.float32)
    check_shape(scale, shape)
    return found if shape is None or found.numel() == 1 else found.reshape(list(shape))


def check_shape(scale: Scale, shape: Sequence[int] | None) -> None:
    """Raise the bridge's RuntimeError if the scale, of which a number fits any shape, has not as many elements."""
    if shape is None or scale is None or isinstance(scale, float):
        return
    has = scale.numel() if isinstance(scale, torch.Tensor) else len(scale)
    if has != math.prod(shape):
        raise RuntimeError(
            f"Number of scale elements ({has}) is not equal to number of scale_shape elements ({math.prod(shape)})."
        )


def scale_by(x: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    """Return `x` times `scale`, in the dtype of `x`."""
    return x if scale is None else x * scale.to(x.dtype)


def spread(scale: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Return a scale of blocks, (row blocks, column blocks), as one of elements, (rows, columns).

    Raises
    ------
    RuntimeError
        The blocks do not divide the sizes.
    """
    if rows % scale.shape[-2] or columns % scale.shape[-1]:
        raise RuntimeError(
            f"{tuple(scale.shape)} blocks do not divide a matrix of {rows} by {columns}: pad it to whole blocks"
        )
    by_row = scale.repeat_interleave(rows // scale.shape[-2], -2)
    return by_row.repeat_interleave(columns // scale.shape[-1], -1)
