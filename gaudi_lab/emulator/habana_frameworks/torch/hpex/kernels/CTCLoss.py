"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F


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
        with torch.enable_grad():
            ctx.log_probs = log_probs.detach().requires_grad_()
            ctx.loss = F.ctc_loss(
                ctx.log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity
            )
        return ctx.loss.detach()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """Return the gradient of `log_probs`."""
        (d_log_probs,) = torch.autograd.grad(ctx.loss, ctx.log_probs, grad)
        ctx.loss = ctx.log_probs = None
        return d_log_probs, None, None, None, None, None, None
