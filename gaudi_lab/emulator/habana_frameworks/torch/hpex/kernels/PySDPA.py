"""Attention as plain operators: what the fused kernel is held against."""

from __future__ import annotations

import math

import torch


class PySDPA:
    """Attention made of matmul and softmax, differentiable by autograd."""

    @classmethod
    def apply(
        cls,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        is_causal: bool = False,
        with_slice: bool = False,
    ) -> torch.Tensor:
        """Attend `q` (batch, heads, queries, dim) to `k` and `v` (batch, heads, keys, dim).

        With `with_slice` each head of each batch entry is computed apart, which needs less memory at once.
        """
        if not with_slice:
            return _attend(q, k, v, is_causal)
        apart = zip(*[x.flatten(0, 1) for x in (q, k, v)], strict=True)
        heads = [_attend(one, keys, values, is_causal) for one, keys, values in apart]
        return torch.stack(heads).unflatten(0, q.shape[:2])


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, is_causal: bool) -> torch.Tensor:
    scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(q.shape[-1]))
    if is_causal:
        query = torch.arange(q.shape[-2], device=q.device).unsqueeze(-1)
        scores = scores.masked_fill(torch.arange(k.shape[-2], device=q.device) > query, -torch.inf)
    return torch.softmax(scores, -1) @ v


class PySDPAHinted(PySDPA):
    """The same, each head apart unless `with_slice` says otherwise."""

    @classmethod
    def apply(
        cls,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        is_causal: bool = False,
        with_slice: bool = True,
    ) -> torch.Tensor:
        """Attend as `PySDPA` does."""
        return super().apply(q, k, v, is_causal, with_slice)
