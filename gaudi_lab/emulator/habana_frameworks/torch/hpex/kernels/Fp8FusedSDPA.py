"""Attention over scaled 8-bit floats."""

from __future__ import annotations

import math

import torch

_FP8 = torch.float8_e4m3fn


def fp8_fused_sdpa(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    softmax_mode: str = "None",
    d_scale_q: torch.Tensor | float | None = None,
    d_scale_k: torch.Tensor | float | None = None,
    d_scale_v: torch.Tensor | float | None = None,
    q_scale_s: torch.Tensor | float | None = None,
    q_scale_o: torch.Tensor | float | None = None,
    d_scale_s: torch.Tensor | float | None = None,
    is_amax_s: bool = False,
    is_amax_o: bool = False,
    valid_seq_len: torch.Tensor | None = None,
    seq_padding_type: str = "left",
    recompute: bool | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Attend as `FusedSDPA` does, inference only, over data that `d_scale_*` turn back into numbers.

    Probabilities are rounded to 8 bits where `q_scale_s` and `d_scale_s` say how; the result is, where `q_scale_o`
    does.

    Returns
    -------
    out, amax_s, amax_o
        Attention, and the largest probability and result in float32 (0 where they were not asked for).
    """
    scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
    query, key, value = [_scale(x, by) for x, by in ((q, d_scale_q), (k, d_scale_k), (v, d_scale_v))]
    zero = torch.zeros((), device=q.device)
    if q_scale_s is None and not is_amax_s:
        out, _ = torch.ops.hpu.sdpa_recomp_fwd(
            query, key, value, attn_mask, 0.0, scale, is_causal, softmax_mode.lower(), valid_seq_len,
            seq_padding_type, [-1, -1], None, None,
        )  # fmt: skip
        amax_s = zero
    else:
        if valid_seq_len is not None:  # which only the kernel that keeps no probabilities takes
            attn_mask = _hide_padding(attn_mask, valid_seq_len, seq_padding_type, key.shape[-2])
        _, weights, _ = torch.ops.hpu.sdpa_fwd(
            query, key, value, attn_mask, 0.0, scale, is_causal, softmax_mode.lower(), None
        )
        amax_s = weights.amax().float() if is_amax_s else zero
        if q_scale_s is not None and d_scale_s is not None:
            rounded = torch.ops.hpu.cast_to_fp8_v2(weights, q_scale_s, False, False, _FP8)[0]
            weights = rounded.to(query.dtype) * _number(d_scale_s, query.dtype)
        out = weights @ value.repeat_interleave(query.shape[1] // value.shape[1], 1)
    amax_o = out.abs().amax().float() if is_amax_o else zero
    if q_scale_o is not None:
        out = torch.ops.hpu.cast_to_fp8_v2(out, q_scale_o, False, False, _FP8)[0]
    return out, amax_s, amax_o


def _hide_padding(
    mask: torch.Tensor | None, valid_seq_len: torch.Tensor, seq_padding_type: str, keys: int
) -> torch.Tensor:
    """Return `mask` with the keys hidden that are padding, broadcast to (batch, heads, queries, keys)."""
    key, lengths = torch.arange(keys, device=valid_seq_len.device), valid_seq_len.reshape(-1, 1, 1, 1)
    valid = key >= keys - lengths if seq_padding_type == "left" else key < lengths
    if mask is None:
        return valid
    return mask & valid if mask.dtype == torch.bool else mask.masked_fill(valid.logical_not(), -math.inf)


def _scale(x: torch.Tensor, by: torch.Tensor | float | None) -> torch.Tensor:
    wide = x.to(torch.bfloat16) if x.dtype in (_FP8, torch.float8_e5m2) else x
    return wide if by is None else wide * _number(by, wide.dtype)


def _number(scale: torch.Tensor | float, dtype: torch.dtype) -> torch.Tensor | float:
    return scale.to(dtype) if isinstance(scale, torch.Tensor) else scale
