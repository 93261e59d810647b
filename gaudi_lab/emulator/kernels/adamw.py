"""One step of AdamW over lists of tensors: `optimizer_adamw`. FusedAdamW calls it, and so does DeepSpeed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gaudi_lab.emulator.kernels.library import define, define_by_others

Tensors = Sequence[torch.Tensor]

# The largest number of each float8 as the device has it.
_LARGEST = {torch.float8_e4m3fn: 240.0, torch.float8_e5m2: 57344.0}


@dataclass(frozen=True)
class AdamwStep:
    """The arguments of one step, under the names of its schema.

    Attributes
    ----------
    gradient_vec
        A gradient for each weight.
    weight_vec, exp_avg_vec, exp_avg_sq_vec
        The weights and their moments, updated.
    neg_step_t
        The length of the step, below zero, (1,).
    weight_decay
        What the weights are multiplied by first, (1,).
    has_weight_decay
        Whether they are.
    exp_avg_scales, exp_avg_sq_scales
        For moments in float8: what each of them is multiplied by, (1,), updated.
    """

    gradient_vec: Tensors
    weight_vec: Tensors
    exp_avg_vec: Tensors
    exp_avg_sq_vec: Tensors
    neg_step_t: torch.Tensor
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: torch.Tensor
    has_weight_decay: bool
    exp_avg_scales: Tensors | None = None
    exp_avg_sq_scales: Tensors | None = None


def _check(step: AdamwStep) -> None:
    if not step.weight_vec:
        raise RuntimeError("optimizer_adamw : can not process empty weight vector")
    if (step.exp_avg_scales is None) != (step.exp_avg_sq_scales is None):
        raise RuntimeError("optimizer_adamw : expects both or neighter scales to be set")
    sizes = [len(x) for x in (step.gradient_vec, step.weight_vec, step.exp_avg_vec, step.exp_avg_sq_vec)]
    if len(set(sizes)) > 1:
        raise RuntimeError(
            "All 4 vector inputs must have the same number of elements but they respectively have: "
            + ", ".join(map(str, sizes))
        )


def _run(step: AdamwStep) -> None:
    """Update every weight, its moments and their scales."""
    _check(step)
    for at, weight in enumerate(step.weight_vec):
        grad = step.gradient_vec[at]
        mean = _widened(step.exp_avg_vec[at], _scale(step.exp_avg_scales, at), grad.dtype)
        square = _widened(step.exp_avg_sq_vec[at], _scale(step.exp_avg_sq_scales, at), grad.dtype)
        mean.mul_(step.beta1).add_(grad, alpha=1 - step.beta1)
        grad = grad.to(square.dtype)
        square.mul_(step.beta2).addcmul_(grad, grad, value=1 - step.beta2)
        _keep(step.exp_avg_vec[at], mean, _scale(step.exp_avg_scales, at))
        _keep(step.exp_avg_sq_vec[at], square, _scale(step.exp_avg_sq_scales, at))
        if step.has_weight_decay:
            weight.mul_(step.weight_decay.to(weight.dtype).reshape(()))
        direction = step.neg_step_t.reshape(()) * mean / (square.sqrt() + step.epsilon)
        weight.add_(direction.to(weight.dtype))


def _scale(scales: Tensors | None, at: int) -> torch.Tensor | None:
    return None if scales is None else scales[at]


def _widened(moment: torch.Tensor, scale: torch.Tensor | None, wide: torch.dtype) -> torch.Tensor:
    """Return a moment to compute with: itself, or what a float8 of it stands for."""
    if moment.dtype not in _LARGEST:
        return moment
    return moment.to(wide) if scale is None else moment.to(wide) / scale.to(wide)


def _keep(moment: torch.Tensor, value: torch.Tensor, scale: torch.Tensor | None) -> None:
    """Write `value` into `moment`, a float8 times the power of two that fills the range of its dtype."""
    if moment is value:
        return
    if scale is not None:
        fills = torch.exp2(torch.floor(torch.log2(_LARGEST[moment.dtype] / value.abs().amax())))
        # Nothing fills a tensor of zeros: the old scale stays.
        scale.copy_(torch.where(torch.isfinite(fills), fills, scale))
        value = value * scale.to(value.dtype)
    moment.copy_(value)


def _fake(step: AdamwStep) -> None:
    _check(step)


def _with_a_number(*args: Any, **named: Any) -> None:
    """Take the weight decay as a number, as the operator does in lazy mode.

    It becomes a tensor: as a number it would be part of the graph, and a schedule would compile it anew each step.
    """
    step = dict(zip(_NAMES, args, strict=False)) | named
    decay = step.pop("weight_decay")
    tensor = torch.tensor([decay], dtype=torch.float32, device=step["neg_step_t"].device)
    torch.ops.hpu.optimizer_adamw.tensor(**step, weight_decay=tensor, has_weight_decay=decay != 1.0)


_BEFORE = """Tensor[] gradient_vec, Tensor(a!)[] weight_vec, Tensor(b!)[] exp_avg_vec, Tensor(c!)[] exp_avg_sq_vec,
    Tensor neg_step_t, float beta1, float beta2, float epsilon"""
_AFTER = "Tensor(d!)[]? exp_avg_scales=None, Tensor(e!)[]? exp_avg_sq_scales=None"
_NAMES = (
    "gradient_vec", "weight_vec", "exp_avg_vec", "exp_avg_sq_vec", "neg_step_t", "beta1", "beta2", "epsilon",
    "weight_decay", "exp_avg_scales", "exp_avg_sq_scales",
)  # fmt: skip

# The bridge has one name for both: the first form in lazy mode, the second in eager mode.
define_by_others(f"optimizer_adamw({_BEFORE}, float weight_decay, {_AFTER}) -> ()", _with_a_number)
define(
    f"optimizer_adamw.tensor({_BEFORE}, Tensor weight_decay, bool has_weight_decay, {_AFTER}) -> ()",
    _run,
    _fake,
    AdamwStep,
)
