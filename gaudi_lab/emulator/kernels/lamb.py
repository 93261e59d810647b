"""The three steps of LAMB over lists of tensors: `optimizer_lamb_fused_norm`, `_phase1`, `_phase2`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gaudi_lab.emulator.kernels.library import define

Tensors = Sequence[torch.Tensor]


def _clip_factor(grad: Tensors, max_norm: float) -> torch.Tensor:
    """Return what the gradients are to be divided by so that their norm is at most `max_norm`, (1,)."""
    total = torch.zeros(1, dtype=grad[0].dtype)
    for x in grad:
        total.add_(x.pow(2).sum())
    norm = total.sqrt()
    return torch.where(norm > max_norm, norm / max_norm, torch.ones_like(norm))


def _clip_factor_fake(grad, max_norm):  # type: ignore[no-untyped-def]
    return grad[0].new_empty(1)


@dataclass(frozen=True)
class LambMoments:
    """The arguments of the first phase, under the names of its schema.

    Attributes
    ----------
    exp_avg, exp_avg_sq
        Moments of each weight, updated.
    out_weight_norms, out_adam_norms, out_adam_steps
        Written: the norm of each weight, that of its step, and the step.
    clip_global_grad_norm
        What the gradients are divided by, (1,).
    grad_averaging
        Not 0 to weigh a gradient with `1 - beta1` in the first moment; 0 to weigh it with 1.
    bias_correction1, bias_correction2
        What the moments are divided by.
    """

    gradients: Tensors
    weights: Tensors
    exp_avg: Tensors
    exp_avg_sq: Tensors
    out_weight_norms: Tensors
    out_adam_norms: Tensors
    out_adam_steps: Tensors
    clip_global_grad_norm: torch.Tensor
    grad_averaging: int
    beta1: float
    beta2: float
    epsilon: float
    bias_correction1: torch.Tensor
    bias_correction2: torch.Tensor
    weight_decay: float


def _moments(call: LambMoments) -> None:
    """Update both moments of each weight, and write its step and both norms."""
    share = 1.0 - call.beta1 if call.grad_averaging else 1.0
    for at, weight in enumerate(call.weights):
        grad = call.gradients[at] / call.clip_global_grad_norm
        first = call.exp_avg[at].mul_(call.beta1).add_(grad, alpha=share)
        second = call.exp_avg_sq[at].mul_(call.beta2).addcmul_(grad, grad, value=1.0 - call.beta2)
        root = (second / call.bias_correction2).sqrt() + call.epsilon
        step = first / call.bias_correction1 / root
        if call.weight_decay != 0:
            step = step + weight * call.weight_decay
        call.out_adam_steps[at].copy_(step)
        call.out_adam_norms[at].fill_(torch.linalg.vector_norm(step))
        call.out_weight_norms[at].fill_(torch.linalg.vector_norm(weight))


def _apply(
    weights: Tensors,
    adam_norms: Tensors,
    weight_norms: Tensors,
    adam_steps: Tensors,
    neg_step: torch.Tensor,
    wd: float,
    use_lamb: bool,
) -> None:
    """Add to each weight its step times `neg_step`, and times the ratio of both norms where LAMB trusts it."""
    for weight, adam_norm, weight_norm, step in zip(
        weights, adam_norms, weight_norms, adam_steps, strict=True
    ):
        ratio: torch.Tensor | float = 1.0
        if wd != 0 or use_lamb:
            trusted = (adam_norm > 0) & (weight_norm > 0)
            ratio = torch.where(trusted, weight_norm / adam_norm, 1.0)
        weight.add_((step * neg_step * ratio).to(weight.dtype))


def _nothing(*args, **named):  # type: ignore[no-untyped-def]
    return None


define("optimizer_lamb_fused_norm(Tensor[] grad, float max_norm) -> Tensor", _clip_factor, _clip_factor_fake)
define(
    """optimizer_lamb_phase1(
        Tensor[] gradients, Tensor[] weights, Tensor(a!)[] exp_avg, Tensor(b!)[] exp_avg_sq,
        Tensor(c!)[] out_weight_norms, Tensor(d!)[] out_adam_norms, Tensor(e!)[] out_adam_steps,
        Tensor clip_global_grad_norm, int grad_averaging, float beta1, float beta2, float epsilon,
        Tensor bias_correction1, Tensor bias_correction2, float weight_decay) -> ()""",
    _moments,
    _nothing,
    LambMoments,
)
define(
    """optimizer_lamb_phase2(
        Tensor(a!)[] weights, Tensor[] adam_norms, Tensor[] weight_norms, Tensor[] adam_steps, Tensor neg_step,
        float wd, bool use_lamb) -> ()""",
    _apply,
    _nothing,
)
