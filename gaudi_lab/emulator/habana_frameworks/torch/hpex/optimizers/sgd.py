"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from .base import FusedOptimizer, Update


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

    def update(self, one: Update) -> None:
        """Update one parameter in place."""
        grad, momentum = one.with_decay(one.grad), one.group["momentum"]
        if momentum:
            buffer = one.state.get("momentum_buffer")
            if buffer is None:
                buffer = one.state["momentum_buffer"] = grad.clone()
            else:
                buffer.mul_(momentum).add_(grad, alpha=1 - one.group["dampening"])
            grad = grad.add(buffer, alpha=momentum) if one.group["nesterov"] else buffer
        one.go_down(one.rate * grad)


class FusedResourceApplyMomentum(FusedOptimizer):
    """Gradient descent whose momentum holds the learning rate of the steps that it sums up."""

    def __init__(self, params: Any, lr: float, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def update(self, one: Update) -> None:
        """Update one parameter in place."""
        buffer = one.keep("momentum_buffer")
        buffer.mul_(one.group["momentum"]).sub_((one.rate * one.grad).to(buffer.dtype))
        one.parameter.add_(buffer)
