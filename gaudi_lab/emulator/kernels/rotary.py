"""Rotary position embedding in one kernel.

`sin` and `cos` broadcast to the data, (batch, heads, length, dim) or any other layout. With `position_ids`,
(batch, length), they are tables (..., positions, dim) of which the rows are taken; without, rows `offset` and
following, or columns `offset` and following of a table with so many more columns. They may have half the data's dim,
one angle for each pair. Mode 0 pairs the first half of a row with the second (blockwise), mode 1 pairs neighbours
(pairwise).
"""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.kernels.library import define

BLOCKWISE, PAIRWISE = 0, 1


def _rotate(data: torch.Tensor, sin: torch.Tensor, cos: torch.Tensor, *where: Any) -> torch.Tensor:
    sin, cos = _tables(data, sin, cos, *where)
    return (data * cos + _turn(data, where[-1]) * sin).to(data.dtype)


def _rotate_backward(grad: torch.Tensor, sin: torch.Tensor, cos: torch.Tensor, *where: Any) -> torch.Tensor:
    sin, cos = _tables(grad, sin, cos, *where)
    return (grad * cos - _turn(grad * sin, where[-1])).to(grad.dtype)


def _tables(
    data: torch.Tensor,
    sin: torch.Tensor,
    cos: torch.Tensor,
    position_ids: torch.Tensor | None,
    offset: int,
    mode: int,
) -> list[torch.Tensor]:
    """Return the rows of both tables that belong to `data`, ready to multiply it."""
    return [_rows(table, data, position_ids, offset, mode) for table in (sin, cos)]


def _turn(x: torch.Tensor, mode: int) -> torch.Tensor:
    """Turn each pair by a right angle: (a, b) becomes (-b, a)."""
    if mode == PAIRWISE:
        return torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2)
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


def _rows(
    table: torch.Tensor, data: torch.Tensor, position_ids: torch.Tensor | None, offset: int, mode: int
) -> torch.Tensor:
    if offset and table.shape[-1] == offset + data.shape[-1]:
        return table[..., offset:]
    if table.shape[-1] * 2 == data.shape[-1]:
        table = table.repeat_interleave(2, -1) if mode == PAIRWISE else torch.cat((table, table), -1)
    if position_ids is not None:
        return table.reshape(-1, table.shape[-1])[position_ids.long()].unsqueeze(1)
    length = data.shape[-2]
    return table[..., offset : offset + length, :] if table.dim() > 1 and table.shape[-2] > length else table


def _like_first(data, *rest):  # type: ignore[no-untyped-def]
    return data.new_empty(data.shape)


_TAIL = "Tensor sin, Tensor cos, Tensor? position_ids, int offset, int mode) -> Tensor"
define("rotary_pos_embedding(Tensor input, " + _TAIL, _rotate, _like_first)
define("rotary_pos_embedding_backward(Tensor grad_in, " + _TAIL, _rotate_backward, _like_first)
