"""Gaudi's own operators, `torch.ops.hpu.*`, as host kernels that a recorded graph can hold."""

from __future__ import annotations

import torch
import torch.nn.functional as F

_library = torch.library.Library("hpu", "FRAGMENT")


def _sdpa(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float,
    softmax_mode: str,
) -> torch.Tensor:
    """Attention in one kernel, without the matrix of probabilities in memory.

    Shapes: query (batch, heads, queries, dim), key and value (batch, kv_heads, keys, dim), mask broadcast to
    (batch, heads, queries, keys); the result is like the query.
    """
    grouped = query.dim() == 4 and key.shape[1] != query.shape[1]
    return F.scaled_dot_product_attention(
        query, key, value, mask, dropout_p, is_causal, scale=scale, enable_gqa=grouped
    ).contiguous()


def _sdpa_fake(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float,
    softmax_mode: str,
) -> torch.Tensor:
    return query.new_empty((*query.shape[:-1], value.shape[-1]))


_library.define(
    "sdpa_fwd(Tensor query, Tensor key, Tensor value, Tensor? mask, float dropout_p, bool is_causal, "
    "float scale, str softmax_mode) -> Tensor"
)
_library.impl("sdpa_fwd", _sdpa, "CPU")
torch.library.register_fake("hpu::sdpa_fwd", _sdpa_fake, lib=_library)
