"""Connectionist temporal classification in one kernel: `ctc_loss_custom` and its backward.

Shapes are those of `torch.nn.functional.ctc_loss`: log probabilities (length, batch, classes), or without a batch. The
backward pass computes the forward variables again; what the device keeps of them is empty here.
"""

from __future__ import annotations

from typing import Any

import torch

from gaudi_lab.emulator.kernels.library import define

_NONE, _MEAN = 0, 1


def _nll(
    log_probs: torch.Tensor, targets: torch.Tensor, lengths: tuple[torch.Tensor, torch.Tensor], blank: int,
    zero_infinity: bool,
) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:  # fmt: skip
    """Return the loss of each entry (batch,), the forward variables, and the arguments that backward takes again."""
    batched = log_probs if log_probs.dim() == 3 else log_probs.unsqueeze(1)
    given = [x.reshape(-1).long() for x in lengths]
    target = targets if targets.dim() == 2 or log_probs.dim() == 3 else targets.unsqueeze(0)
    arguments = [batched.float(), target.long(), *given]
    losses, alpha = torch.ops.aten._ctc_loss.Tensor(*arguments, blank, zero_infinity)
    return losses, alpha, arguments


def _loss(
    log_probs: torch.Tensor,
    targets: torch.Tensor,
    input_lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    blank: int,
    reduction: int,
    zero_infinity: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss, reduced as `reduction` says (0 none, 1 mean, 2 sum), and nothing kept for backward."""
    losses, _, _ = _nll(log_probs, targets, (input_lengths, target_lengths), blank, zero_infinity)
    if zero_infinity:
        losses = torch.where(losses == torch.inf, 0.0, losses)
    if reduction == _MEAN:
        losses = (losses / target_lengths.reshape(-1).clamp_min(1)).mean()
    elif reduction != _NONE:
        losses = losses.sum()
    elif log_probs.dim() == 2:
        losses = losses.squeeze(0)
    return losses.to(log_probs.dtype), log_probs.new_empty(0)


def _loss_fake(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity):  # type: ignore[no-untyped-def]
    batch = log_probs.shape[1:2] if reduction == _NONE and log_probs.dim() == 3 else ()
    return log_probs.new_empty(batch), log_probs.new_empty(0)


def _backward(
    grad: torch.Tensor,
    log_probs: torch.Tensor,
    targets: torch.Tensor,
    input_lengths: torch.Tensor,
    target_lengths: torch.Tensor,
    loss: torch.Tensor,
    alpha: torch.Tensor,
    blank: int,
    reduction: int,
    zero_infinity: bool,
) -> torch.Tensor:
    """Return the gradient of the log probabilities."""
    losses, variables, arguments = _nll(
        log_probs, targets, (input_lengths, target_lengths), blank, zero_infinity
    )
    each = grad.float().reshape(-1).expand(losses.shape)
    if reduction == _MEAN:
        each = each / target_lengths.reshape(-1).clamp_min(1) / losses.shape[0]
    back = torch.ops.aten._ctc_loss_backward.Tensor(
        each.contiguous(), *arguments, losses, variables, blank, zero_infinity
    )
    return back.reshape(log_probs.shape).to(log_probs.dtype)


def _backward_fake(grad, log_probs, *rest):  # type: ignore[no-untyped-def]
    return log_probs.new_empty(log_probs.shape)


_INPUTS = "Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, "
_RULES = "int blank, int reduction, bool zero_infinity) -> "
define(f"ctc_loss_custom({_INPUTS}{_RULES}(Tensor, Tensor)", _loss, _loss_fake)
define(
    f"ctc_loss_custom_backward(Tensor grad, {_INPUTS}Tensor neg_log_likelihood, Tensor log_alpha, {_RULES}Tensor",
    _backward,
    _backward_fake,
)
