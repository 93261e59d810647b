"""Gradient descent whose momentum holds the learning rate."""

from __future__ import annotations

from typing import Any

from .base import FusedOptimizer, Update, refuse_negative


class FusedResourceApplyMomentum(FusedOptimizer):
    """Gradient descent whose momentum holds the learning rate of the steps that it sums up.

    Parameters
    ----------
    weight_decay, nesterov
        Kept for who wraps the optimizer: the step does not read them, in the bridge neither.

    Raises
    ------
    ValueError
        A number is out of its range.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
    ) -> None:
        refuse_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and momentum <= 0:
            raise ValueError("Nesterov momentum requires a momentum")
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, options)

    def update(self, one: Update) -> None:
        """Update one parameter in place."""
        buffer = one.keep("momentum_buffer")
        buffer.mul_(one.group["momentum"]).sub_((one.rate * one.grad).to(buffer.dtype))
        one.parameter.add_(buffer)
