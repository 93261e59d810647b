"""Fused scaled dot product attention."""

from __future__ import annotations

import math
from typing import Any

import torch


class FusedSDPA(torch.autograd.Function):
    """Attention as one kernel. Call `FusedSDPA.apply(...)`; arguments are positional only."""

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        softmax_mode: str = "None",
        recompute_mode: bool | None = None,
        valid_seq_len: torch.Tensor | None = None,
        seq_padding_type: str = "left",
        return_dropout_mask: bool = False,
        return_attn_probs: bool = False,
        window_size: tuple[int, int] = (-1, -1),
        sink: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return attention of `q` over `k` and `v`, all (batch, heads, length, head_dim)."""
        scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale
        return torch.ops.hpu.sdpa_fwd(q, k, v, attn_mask, dropout_p, is_causal, scale, softmax_mode.lower())
