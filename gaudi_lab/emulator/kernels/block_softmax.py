"""Softmax over a cache in blocks, as vLLM's attention uses it: `block_softmax` and `block_softmax_adjustment`.

A sequence's keys lie in several blocks. Each block is exponentiated by itself, and the adjustment is what its result
has to be multiplied by so that the blocks of one sequence together make a softmax. Formulas, shapes and the message are
those of the bridge's tests (release 1.24) and of vllm-gaudi; results of eight bits are not built.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gaudi_lab.emulator.kernels.library import define


def _exponentials(
    attn: torch.Tensor, block_bias: torch.Tensor, block_groups: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return `exp(attn + block_bias - max)`, and the largest score and the sum of each row, (blocks, rows).

    Parameters
    ----------
    attn
        Scores, (blocks, kv_heads, queries a head, tokens, block size).
    block_bias
        To add; it broadcasts to the scores.
    block_groups
        The sequence of each block, (blocks,); -1 for padding, whose results are zero.
    """
    used = (block_groups != -1).reshape(-1, 1, 1, 1, 1)
    scores = attn + block_bias
    largest = torch.where(used, scores.amax(-1, keepdim=True), 0.0).to(attn.dtype)
    out = torch.where(used, (scores - largest).exp(), 0.0).to(attn.dtype)
    return out, largest.flatten(1), out.sum(-1).flatten(1)


def _exponentials_fake(attn, block_bias, block_groups):  # type: ignore[no-untyped-def]
    rows = attn.new_empty(attn.shape[0], attn[0, ..., 0].numel())
    return attn.new_empty(attn.shape), rows, torch.empty_like(rows)


def _adjustment(
    block_maxes: torch.Tensor,
    block_sums: torch.Tensor,
    block_groups: torch.Tensor,
    batch_size: int,
    out_shape: Sequence[int] | None = None,
) -> torch.Tensor:
    """Return what turns the exponentials of each block into a part of its sequence's softmax; zero for padding.

    Parameters
    ----------
    block_maxes, block_sums
        Of each row, (blocks, rows) as `block_softmax` returns them, or of five dimensions.
    out_shape
        Of the result; by default that of `block_maxes`.
    """
    shape = _shape(block_maxes, out_shape)
    groups = block_groups.long()
    maxes, sums = [x.flatten(1).float() for x in (block_maxes, block_sums)]
    used = groups != -1
    owner = groups.clamp_min(0).unsqueeze(-1).expand_as(maxes)
    masked = maxes.masked_fill(~used.unsqueeze(-1), -torch.inf)
    largest = torch.full((batch_size, maxes.shape[1]), -torch.inf).scatter_reduce(0, owner, masked, "amax")
    share = torch.where(used.unsqueeze(-1), (maxes - largest.gather(0, owner)).exp(), 0.0)
    total = torch.zeros_like(largest).scatter_add(0, owner, share * sums)
    out = torch.where(used.unsqueeze(-1), share / total.gather(0, owner), 0.0)
    return out.reshape(shape).to(block_maxes.dtype)


def _adjustment_fake(block_maxes, block_sums, block_groups, batch_size, out_shape=None):  # type: ignore[no-untyped-def]
    return block_maxes.new_empty(_shape(block_maxes, out_shape))


def _shape(block_maxes: torch.Tensor, out_shape: Sequence[int] | None) -> Sequence[int]:
    if out_shape is None and block_maxes.dim() != 5:
        raise RuntimeError(
            f"If no out_shape provided, block_maxes tensor must be 5-dimensional, got {block_maxes.dim()}"
        )
    return block_maxes.shape if out_shape is None else list(out_shape)


define(
    "block_softmax(Tensor attn, Tensor block_bias, Tensor block_groups) -> (Tensor, Tensor, Tensor)",
    _exponentials,
    _exponentials_fake,
)
define(
    "block_softmax_adjustment(Tensor block_maxes, Tensor block_sums, Tensor block_groups, SymInt batch_size, "
    "SymInt[]? out_shape=None) -> Tensor",
    _adjustment,
    _adjustment_fake,
)
