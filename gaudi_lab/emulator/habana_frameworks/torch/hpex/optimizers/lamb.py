"""LAMB: Adam whose step is scaled layer by layer."""

from __future__ import annotations

from typing import Any

import torch

from .base import FusedOptimizer, counted


class FusedLamb(FusedOptimizer):
    """LAMB: the step of each parameter is as long as its norm, times the learning rate.

    Parameters
    ----------
    grad_averaging
        Whether the gradient enters the first moment weighted by 1 - beta1.
    max_grad_norm
        All gradients together are scaled down to this norm; 0 for never.
    use_nvlamb
        Whether parameters without weight decay are scaled too.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        bias_correction: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        grad_averaging: bool = True,
        max_grad_norm: float = 1.0,
        use_nvlamb: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "bias_correction": bias_correction,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "grad_averaging": grad_averaging,
            "max_grad_norm": max_grad_norm,
        }
        super().__init__(params, defaults)
        self._use_nvlamb = use_nvlamb
        self._clip: torch.Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient."""
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        limit = self.defaults["max_grad_norm"]
        if grads and limit > 0:
            norm = torch.linalg.vector_norm(torch.stack([grad.float().norm() for grad in grads]))
            self._clip = torch.clamp(norm / limit, min=1.0)
        return super().step(closure)

    def update(
        self,
        parameter: torch.Tensor,
        grad: torch.Tensor,
        rate: torch.Tensor,
        group: dict[str, Any],
        state: dict[str, Any],
    ) -> None:
        """Update `parameter` by `grad`."""
        beta1, beta2 = group["betas"]
        step = counted(parameter, state)
        if "exp_avg" not in state:
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        grad = grad if self._clip is None else grad / self._clip
        mean.mul_(beta1).add_(grad, alpha=1 - beta1 if group["grad_averaging"] else 1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        corrected, corrected_square = mean, square
        if group["bias_correction"]:
            corrected, corrected_square = mean / (1 - beta1**step), square / (1 - beta2**step)
        update = corrected / (corrected_square.sqrt() + group["eps"])
        if group["weight_decay"]:
            update = update.add(parameter, alpha=group["weight_decay"])
        if group["weight_decay"] or self._use_nvlamb:
            length, norm = parameter.norm(), update.norm()
            update = update * torch.where((length > 0) & (norm > 0), length / norm, 1.0)
        parameter.sub_((rate * update).to(parameter.dtype))
