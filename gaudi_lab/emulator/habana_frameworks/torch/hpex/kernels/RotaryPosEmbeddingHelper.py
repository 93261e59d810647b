"""Rotary position embedding."""

from __future__ import annotations

import enum
from typing import Any

import torch


class RotaryPosEmbeddingMode(enum.IntEnum):
    """Which features make a pair: the two halves of a row, or neighbours."""

    BLOCKWISE = 0
    PAIRWISE = 1


def _rotate(
    ctx: Any,
    p: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    position_ids: torch.Tensor | None,
    offset: int,
    mode: RotaryPosEmbeddingMode,
) -> torch.Tensor:
    ctx.dtype = p.dtype
    p, cos, sin = _alike(p, cos, sin)
    ctx.save_for_backward(cos, sin, position_ids)
    ctx.rule = offset, int(mode)
    rotated: torch.Tensor = torch.ops.hpu.rotary_pos_embedding(p, sin, cos, position_ids, offset, int(mode))
    return rotated


def _rotate_backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
    cos, sin, position_ids = ctx.saved_tensors
    grad, cos, sin = _alike(grad, cos, sin)
    back: torch.Tensor = torch.ops.hpu.rotary_pos_embedding_backward(grad, sin, cos, position_ids, *ctx.rule)
    return back.to(ctx.dtype)


def _alike(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Return the data and both tables in one dtype: float32 if one of them has it, else that of the data."""
    dtype = torch.float32 if any(x.dtype is torch.float32 for x in tensors) else tensors[0].dtype
    return [x.to(dtype) for x in tensors]


class RotaryPosEmbeddingHelperV1(torch.autograd.Function):
    """Rotates by the rows of a table from `offset` on. Call `apply(p, cos, sin, offset)`."""

    @staticmethod
    def forward(ctx: Any, p: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, offset: int) -> torch.Tensor:
        """Rotate `p` (batch, heads, length, dim) by tables (..., positions, dim)."""
        return _rotate(ctx, p, cos, sin, None, offset, RotaryPosEmbeddingMode.BLOCKWISE)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """Return the gradient of `p`; the tables get none."""
        return _rotate_backward(ctx, grad), None, None, None


class RotaryPosEmbeddingHelperV2(torch.autograd.Function):
    """Rotates by the rows of a table at `position_ids`. Call `apply(p, cos, sin, position_ids)`."""

    @staticmethod
    def forward(
        ctx: Any, p: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, position_ids: torch.Tensor
    ) -> torch.Tensor:
        """Rotate `p` (batch, heads, length, dim) by tables (..., positions, dim) at `position_ids` (batch, length)."""
        return _rotate(ctx, p, cos, sin, position_ids, 0, RotaryPosEmbeddingMode.BLOCKWISE)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """Return the gradient of `p`; the tables get none."""
        return _rotate_backward(ctx, grad), None, None, None


class RotaryPosEmbeddingHelperV3(torch.autograd.Function):
    """Rotates neighbours by a cache of (cos, sin) pairs. Call `apply(p, rope_cache)`."""

    @staticmethod
    def forward(ctx: Any, p: torch.Tensor, rope_cache: torch.Tensor) -> torch.Tensor:
        """Rotate `p` (length, batch, heads, dim) by a cache (positions, ..., rotated dim / 2, 2).

        Features beyond the rotated ones pass through.
        """
        ctx.save_for_backward(rope_cache)
        return _rotate_cached(torch.ops.hpu.rotary_pos_embedding, p, rope_cache)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """Return the gradient of `p`; the cache gets none."""
        (rope_cache,) = ctx.saved_tensors
        return _rotate_cached(torch.ops.hpu.rotary_pos_embedding_backward, grad, rope_cache), None


def _rotate_cached(rotate: Any, data: torch.Tensor, rope_cache: torch.Tensor) -> torch.Tensor:
    length, pairs = data.shape[0], rope_cache.shape[-2]
    turning, passing = data[..., : 2 * pairs], data[..., 2 * pairs :]
    # One angle for each pair: both neighbours turn by it.
    cos, sin = [
        table.repeat_interleave(2, -1).to(data.dtype)
        for table in rope_cache[:length].reshape(length, -1, 1, pairs, 2).unbind(-1)
    ]
    turned: torch.Tensor = rotate(turning, sin, cos, None, 0, int(RotaryPosEmbeddingMode.PAIRWISE))
    return torch.cat((turned, passing), -1) if passing.shape[-1] else turned


class _Rotary(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        p: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        position_ids: torch.Tensor | None,
        offset: int,
        mode: RotaryPosEmbeddingMode,
    ) -> torch.Tensor:
        return _rotate(ctx, p, cos, sin, position_ids, offset, mode)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return _rotate_backward(ctx, grad), None, None, None, None, None


def apply_rotary_pos_emb(p: torch.Tensor, *args: Any) -> torch.Tensor:
    """Rotate `p` by tables that broadcast to it, or by their rows at `position_ids`, in either mode.

    Parameters
    ----------
    args
        `cos, sin[, position_ids[, offset[, mode]]]`; or ChatGLM's `rope_cache` alone, as for
        `RotaryPosEmbeddingHelperV3`. They are positional, as in the bridge.
    """
    if len(args) == 1:
        cached: torch.Tensor = RotaryPosEmbeddingHelperV3.apply(p, args[0])
        return cached
    defaults = (None, 0, RotaryPosEmbeddingMode.BLOCKWISE)
    rotated: torch.Tensor = _Rotary.apply(p, *args, *defaults[max(0, len(args) - 2) :])
    return rotated
