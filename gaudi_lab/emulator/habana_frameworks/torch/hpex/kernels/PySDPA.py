"""Attention as plain operators, block of queries by block of queries: what the fused kernel is held against."""

from __future__ import annotations

import math

import torch


class PySDPA:
    """Attention made of matmul and softmax, differentiable by autograd."""

    block: int | None = None
    """How many queries are computed together; None for all."""

    @classmethod
    def apply(
        cls,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
    ) -> torch.Tensor:
        """Attend `q` (batch, heads, queries, dim) to `k` and `v` (batch, kv_heads, keys, dim)."""
        scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
        if q.dim() == 4 and k.shape[1] != q.shape[1]:
            k, v = [x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v)]
        queries = q.shape[-2]
        step = cls.block or queries
        outs = []
        for start in range(0, queries, step):
            rows = slice(start, min(start + step, queries))
            scores = (q[..., rows, :] @ k.transpose(-2, -1)) * scale
            if attn_mask is not None:
                part = attn_mask[..., rows, :] if attn_mask.shape[-2] > 1 else attn_mask
                scores = scores.masked_fill(~part, -torch.inf) if part.dtype == torch.bool else scores + part
            if is_causal:
                query = torch.arange(start, rows.stop, device=q.device).unsqueeze(-1)
                scores = scores.masked_fill(torch.arange(k.shape[-2], device=q.device) > query, -torch.inf)
            outs.append(torch.dropout(torch.softmax(scores, -1), dropout_p, dropout_p > 0.0) @ v)
        return outs[0] if len(outs) == 1 else torch.cat(outs, -2)


class PySDPAHinted(PySDPA):
    """The same in blocks of 1024 queries, for lengths at which all scores at once need too much memory."""

    block = 1024
