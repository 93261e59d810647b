"""Adagrad."""

from __future__ import annotations

from typing import Any

from .base import FusedOptimizer, Update, refuse_negative


class FusedAdagrad(FusedOptimizer):
    """Adagrad, as `torch.optim.Adagrad` does it."""

    no_sparse = "Adagrad does not support sparse gradients, please consider SparseAdagrad"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
    ) -> None:
        refuse_negative(
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            epsilon=eps,
        )
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
        }
        super().__init__(params, defaults)

    def update(self, one: Update) -> None:
        """Update one parameter in place."""
        step = one.count()
        grad = one.with_decay(one.grad)
        total = one.keep("sum", start=one.group["initial_accumulator_value"])
        total.addcmul_(grad, grad)
        size = one.rate / (1 + (step - 1) * one.group["lr_decay"])
        one.go_down(size * grad / (total.sqrt() + one.group["eps"]))
