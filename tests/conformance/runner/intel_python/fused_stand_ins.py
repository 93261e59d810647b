"""Fused optimizers of the bridge, out of PyTorch's operators: what its compiled `_hpex_C` and `torch.ops.hpu` have."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Tensors = Sequence[torch.Tensor]


def optimizer_sgd(grads: Tensors, weights: Tensors, rate: torch.Tensor, decay: float, *unused: float) -> None:
    for grad, weight in zip(grads, weights, strict=True):
        weight.sub_(rate * grad.add(weight, alpha=decay))


def optimizer_sgd_momentum(
    grads: Tensors,
    weights: Tensors,
    buffers: Tensors,
    step: torch.Tensor,
    rate: torch.Tensor,
    momentum: torch.Tensor,
    decay: float,
    dampening: float,
    nesterov: bool,
) -> None:
    # The first step takes the gradient as it is; the number of steps stands in a tensor, so no branch asks for it.
    first = (step == 0).to(weights[0].dtype)
    for grad, weight, buffer in zip(grads, weights, buffers, strict=True):
        slope = grad.add(weight, alpha=decay)
        buffer.copy_(buffer * momentum + slope * (first + (1 - first) * (1 - dampening)))
        weight.sub_(rate * (slope + momentum * buffer if nesterov else buffer))
    step.add_(1)


def fused_adagrad(
    grads: Tensors,
    weights: Tensors,
    sums: Tensors,
    step: torch.Tensor,
    rate: torch.Tensor,
    decay: float,
    rate_decay: float,
    eps: float,
) -> None:
    size = rate / (1 + (step - 1) * rate_decay)
    for grad, weight, total in zip(grads, weights, sums, strict=True):
        slope = grad.add(weight, alpha=decay)
        total.addcmul_(slope, slope)
        weight.sub_(size * slope / (total.sqrt() + eps))


def fused_lars(
    weights: Tensors,
    grads: Tensors,
    scaled: Sequence[int],
    eeta: float,
    decay: float,
    eps: float,
    rate: torch.Tensor,
) -> None:
    for weight, grad, scale in zip(weights, grads, scaled, strict=True):
        if not scale:
            continue
        length, slope = weight.norm(), grad.norm()
        trust = eeta * length / (slope + decay * length + eps)
        grad.add_(weight, alpha=decay).mul_(torch.where((length > 0) & (slope > 0), trust, 1.0))


def fused_ema(state: Tensors, averages: Tensors, kept: torch.Tensor) -> None:
    for value, average in zip(state, averages, strict=True):
        if average.is_floating_point():
            average.mul_(kept).add_(value.detach() * (1 - kept))


def fused_norm(grads: Tensors, limit: torch.Tensor, kind: float) -> torch.Tensor:
    norm = torch.linalg.vector_norm(torch.stack([grad.norm(kind) for grad in grads]), kind)
    factor = torch.clamp(limit / (norm + 1e-6), max=1.0)
    for grad in grads:
        grad.mul_(factor)
    return norm


def fused_clip_norm(grads: list[torch.Tensor], limit: torch.Tensor, kind: float) -> torch.Tensor:
    return fused_norm(grads[:-1], limit, kind)  # the last one is where the bridge leaves the result


def optimizer_resource_apply_momentum(pairs: list[torch.Tensor], grads: Tensors, momentum: float) -> None:
    for weight, buffer, grad in zip(pairs[::2], pairs[1::2], grads, strict=True):
        weight.add_(buffer.mul_(momentum).sub_(grad))
