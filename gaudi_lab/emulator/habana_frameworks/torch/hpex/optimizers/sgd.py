"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

import torch

from .base import FusedOptimizer


class FusedSGD(FusedOptimizer):
    """Stochastic gradient descent, as `torch.optim.SGD` does it."""

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        super().__init__(params, defaults)

    def update(
        self,
        parameter: torch.Tensor,
        grad: torch.Tensor,
        rate: torch.Tensor,
        group: dict[str, Any],
        state: dict[str, Any],
    ) -> None:
        """Update `parameter` by `grad`."""
        if group["weight_decay"]:
            grad = grad.add(parameter, alpha=group["weight_decay"])
        if group["momentum"]:
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = grad.clone()
            else:
                buffer.mul_(group["momentum"]).add_(grad, alpha=1 - group["dampening"])
            grad = grad.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
        parameter.sub_((rate * grad).to(parameter.dtype))


class FusedResourceApplyMomentum(FusedOptimizer):
    """Gradient descent whose momentum holds the learning rate of the steps that it sums up."""

    def __init__(self, params: Any, lr: float, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def update(
        self,
        parameter: torch.Tensor,
        grad: torch.Tensor,
        rate: torch.Tensor,
        group: dict[str, Any],
        state: dict[str, Any],
    ) -> None:
        """Update `parameter` by `grad`."""
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"]
        buffer.mul_(group["momentum"]).sub_((rate * grad).to(buffer.dtype))
        parameter.add_(buffer)
