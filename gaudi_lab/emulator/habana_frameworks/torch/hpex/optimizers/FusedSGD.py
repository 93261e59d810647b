"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from .base import FusedOptimizer, Update, refuse_negative


class FusedSGD(FusedOptimizer):
    """Stochastic gradient descent, as `torch.optim.SGD` does it, with `weight_decay` before `dampening`."""

    no_sparse = "SGD does not support sparse gradients, please consider SparseSGD"

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0,
        weight_decay: float = 0,
        dampening: float = 0,
        nesterov: bool = False,
    ) -> None:
        refuse_negative(lr=lr, momentum=momentum, weight_decay=weight_decay, dampening=dampening)
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
