"""Fused scaled dot product attention."""

from __future__ import annotations

import math
from typing import Any

import torch

from gaudi_lab.emulator.process.older_signatures import narrow_signature
from gaudi_lab.emulator.process.release import release

from ...hpu.sdp import recompute_sdp_enabled

_RELEASE = release()


class FusedSDPA(torch.autograd.Function):
    """Attention as one kernel. Call `FusedSDPA.apply(...)`; arguments are positional only.

    Older releases take fewer arguments: 11 up to 1.18, 13 up to 1.22.
    """

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
    ) -> Any:
        """Attend `q` (batch, heads, queries, dim) to `k` and `v` (batch, kv_heads, keys, dim), or all without heads.

        Parameters
        ----------
        attn_mask
            True or a number to add, broadcast to (batch, heads, queries, keys).
        scale
            Of the scores; by default 1 / sqrt(dim).
        softmax_mode
            ``"None"``, ``"fast"`` (exponentials in bfloat16) or ``"fp32"`` (all in float32), for bfloat16 data.
        recompute_mode
            True to keep no probabilities for the backward pass; by default as `sdp_kernel` says.
        valid_seq_len
            How many keys of each batch entry are valid, (batch,).
        seq_padding_type
            ``"left"`` if the valid keys are the last ones, ``"right"`` if they are the first.
        return_dropout_mask, return_attn_probs
            Return the mask, or the probabilities, beside the result; of both, the probabilities come first.
        window_size
            How many keys to the left and to the right a query sees; -1 for all.
        sink
            One score a head, (heads,), of a key without a value.

        Raises
        ------
        AssertionError
            The device has no kernel for this combination.
        """
        training = any(ctx.needs_input_grad[:3])
        mode = softmax_mode.lower()
        recompute = recompute_sdp_enabled() if recompute_mode is None else bool(recompute_mode)
        if _RELEASE >= (1, 21):
            if not training and q.shape[-2] == 1:
                recompute = True
            if return_attn_probs:
                recompute = False
            if q.numel() == 0 or k.numel() == 0:
                return q.new_empty((*q.shape[:-1], v.shape[-1]))
        _check(
            q=q, k=k, v=v, attn_mask=attn_mask, is_causal=is_causal, mode=mode, training=training,
            recompute=recompute, valid_seq_len=valid_seq_len, return_dropout_mask=return_dropout_mask,
            return_attn_probs=return_attn_probs, windowed=tuple(window_size) != (-1, -1) or sink is not None,
        )  # fmt: skip
        # "fp32" was not known before 1.21, and then ignored, as is whatever is not known.
        if mode not in ("fast", "fp32") or (mode == "fp32" and _RELEASE < (1, 21)):
            mode = "none"
        scale = 1.0 / math.sqrt(q.shape[-1]) if scale is None else float(scale)
        seed = torch.randint(0, 2**31, (), device=q.device) if dropout_p > 0.0 else None
        headless = q.dim() == 3
        if headless:
            q, k, v = q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)
            attn_mask = (
                attn_mask.unsqueeze(1) if attn_mask is not None and attn_mask.dim() == 3 else attn_mask
            )
        hpu = torch.ops.hpu
        extra: list[torch.Tensor] = []
        # What only the blockwise kernel can do, it does in either mode: for inference the modes differ in memory.
        blockwise = valid_seq_len is not None or tuple(window_size) != (-1, -1) or sink is not None
        if recompute or blockwise:
            out, log_sums = hpu.sdpa_recomp_fwd(
                q, k, v, attn_mask, dropout_p, scale, is_causal, mode, valid_seq_len, seq_padding_type,
                list(window_size), sink, seed,
            )  # fmt: skip
            ctx.save_for_backward(q, k, v, attn_mask, out, log_sums, seed)
        else:
            out, probabilities, kept = hpu.sdpa_fwd(
                q, k, v, attn_mask, dropout_p, scale, is_causal, mode, seed
            )
            ctx.save_for_backward(q, k, v, probabilities, kept, out)
            extra += [probabilities] if return_attn_probs else []
            extra += [kept] if return_dropout_mask else []
        ctx.recompute = recompute
        ctx.headless = headless
        ctx.rules = dropout_p, scale, is_causal
        if headless:
            out, extra = out.squeeze(1), [x.squeeze(1) for x in extra]
        if extra:
            ctx.mark_non_differentiable(*extra)
            return out, *extra
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, *unused: Any) -> Any:
        """Return the gradients of query, key and value. A mask gets none."""
        dropout_p, scale, is_causal = ctx.rules
        grad = grad.unsqueeze(1) if ctx.headless else grad
        if ctx.recompute:
            q, k, v, mask, out, log_sums, seed = ctx.saved_tensors
            grads = torch.ops.hpu.sdpa_recomp_bwd(
                grad, q, k, v, mask, out, log_sums, dropout_p, scale, is_causal, seed
            )
        else:
            q, k, v, probabilities, kept, out = ctx.saved_tensors
            grads = torch.ops.hpu.sdpa_bwd(grad, q, k, v, probabilities, kept, out, dropout_p, scale)
        if ctx.headless:
            grads = [x.squeeze(1) for x in grads]
        return *grads, *[None] * 12


def _check(
    *,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    attn_mask: torch.Tensor | None,
    is_causal: bool,
    mode: str,
    training: bool,
    recompute: bool,
    valid_seq_len: torch.Tensor | None,
    return_dropout_mask: bool,
    return_attn_probs: bool,
    windowed: bool,
) -> None:
    if training and recompute and mode == "fast":
        assert is_causal, (
            "Optimized softmax mode is supported in recompute training mode only in causal(triangular) mask case"
        )
    if mode == "fp32" and _RELEASE >= (1, 21):
        supported = not training and all(x.dtype == torch.bfloat16 for x in (q, k, v))
        assert supported, (
            "softmax_mode = fp32 is supported only for inference mode and when q/k/v inputs are BF16"
        )
    if valid_seq_len is not None:
        supported = not training and is_causal and attn_mask is None
        assert supported, (
            "Valid sequence length is supported only in inference with is_causal(triangular) mask case"
        )
    if return_attn_probs:
        assert not training, "return_attn_probs is supported only for inference mode"
    if return_dropout_mask:
        assert not recompute, "Return_dropout_mask is not supported in recompute mode"
    if windowed:
        assert not training, "window_size and sink are supported only for inference mode"
    if not q.shape[0] == k.shape[0] == v.shape[0]:
        raise RuntimeError(
            f"FusedSDPA does not broadcast the batch dimension: q, k and v have {q.shape[0]}, {k.shape[0]} and "
            f"{v.shape[0]}"
        )


if _RELEASE < (1, 23):
    _later = ["window_size", "sink"]
    if _RELEASE < (1, 19):
        _later += ["return_dropout_mask", "return_attn_probs"]
    FusedSDPA.forward = staticmethod(narrow_signature(FusedSDPA.forward, without=_later))  # type: ignore[method-assign]
