"""LARS: the learning rate of each layer follows its norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


class FusedLars:
    """Scales the gradients of another optimizer's parameters, layer by layer, before it steps.

    Parameters
    ----------
    optimizer
        The optimizer that steps.
    skip_mask
        For each parameter of each group in turn, 1 to scale its gradient and 0 to leave it.
    eeta
        How far a parameter may move, as a share of its norm.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        skip_mask: Sequence[int],
        eeta: float = 0.001,
        eps: float = 1e-8,
    ) -> None:
        self.optim = optimizer
        self.skip_mask = skip_mask
        self.eeta = eeta
        self.eps = eps

    def __getattr__(self, name: str) -> Any:
        if name == "optim":  # while it is made from a copy, it has none
            raise AttributeError(name)
        return getattr(self.optim, name)

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Let the optimizer forget its gradients."""
        self.optim.zero_grad(set_to_none)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Scale the gradients, and let the optimizer step."""
        groups = self.optim.param_groups
        decays = [group.get("weight_decay", 0) for group in groups]
        scaled = iter(self.skip_mask)
        try:
            for group, decay in zip(groups, decays, strict=True):
                group["weight_decay"] = 0  # it is part of the scaled gradient
                for parameter in group["params"]:
                    if next(scaled, 1) and parameter.grad is not None:
                        self._scale(parameter, parameter.grad, decay)
            return self.optim.step(closure)
        finally:
            for group, decay in zip(groups, decays, strict=True):
                group["weight_decay"] = decay

    def _scale(self, parameter: torch.Tensor, grad: torch.Tensor, decay: float) -> None:
        length, slope = parameter.norm(), grad.norm()
        trust = self.eeta * length / (slope + decay * length + self.eps)
        grad.add_(parameter, alpha=decay).mul_(torch.where((length > 0) & (slope > 0), trust, 1.0))
