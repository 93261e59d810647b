"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Any

import torch


class CTCLoss(torch.autograd.Function):
    """CTC loss as one step of the graph. Call `CTCLoss.apply(...)`; arguments are positional only."""

    @staticmethod
    def forward(
        ctx: Any,
        log_probs: torch.Tensor,
        targets: torch.Tensor,
        input_lengths: torch.Tensor,
        target_lengths: torch.Tensor,
        blank: int = 0,
        reduction: str = "mean",
        zero_infinity: bool = False,
    ) -> torch.Tensor:
        """Return the loss of `log_probs` (length, batch, classes); arguments as of `torch.nn.functional.ctc_loss`."""
        ctx.rules = blank, _REDUCTIONS.index(reduction), zero_infinity
        given = log_probs, targets, input_lengths, target_lengths
        loss: torch.Tensor
        loss, alpha = torch.ops.hpu.ctc_loss_custom(*given, *ctx.rules)
        ctx.save_for_backward(*given, loss, alpha)
        return loss

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """Return the gradient of `log_probs`."""
        d_log_probs = torch.ops.hpu.ctc_loss_custom_backward(grad, *ctx.saved_tensors, *ctx.rules)
        return d_log_probs, None, None, None, None, None, None


_REDUCTIONS = ("none", "mean", "sum")
