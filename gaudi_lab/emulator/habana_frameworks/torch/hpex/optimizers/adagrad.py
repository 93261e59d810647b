"""Adagrad."""

from __future__ import annotations

from typing import Any

import torch

from .base import FusedOptimizer, counted


class FusedAdagrad(FusedOptimizer):
    """Adagrad, as `torch.optim.Adagrad` does it."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
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
        step = counted(parameter, state)
        if "sum" not in state:
            state["sum"] = torch.full_like(parameter, group["initial_accumulator_value"])
        if group["weight_decay"]:
            grad = grad.add(parameter, alpha=group["weight_decay"])
        state["sum"].addcmul_(grad, grad)
        size = rate / (1 + (step - 1) * group["lr_decay"])
        parameter.sub_((size * grad / (state["sum"].sqrt() + group["eps"])).to(parameter.dtype))
