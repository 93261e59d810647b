"""Clipping of gradients by their norm."""

from __future__ import annotations

from collections.abc import Iterable

import torch

_EPSILON = 1e-6


class FusedClipNorm:
    """Clips the gradients of parameters by their common norm, on the device and without a read of it.

    Parameters
    ----------
    parameters
        Not used before `clip_norm`, which is given them again.
    max_norm
        The norm that gradients are scaled down to.
    """

    def __init__(self, parameters: Iterable[torch.Tensor] | torch.Tensor, max_norm: float) -> None:
        self.max_norm = float(max_norm)
        self.norm_type = 2.0

    @torch.no_grad()
    def clip_norm(self, parameters: Iterable[torch.Tensor] | torch.Tensor) -> torch.Tensor:
        """Scale the gradients in place and return their norm before that, a 0-dim tensor."""
        listed = [parameters] if isinstance(parameters, torch.Tensor) else list(parameters)
        grads = [parameter.grad for parameter in listed if parameter.grad is not None]
        if not grads:
            return torch.tensor(0.0)
        norms = torch._foreach_norm(grads, self.norm_type)
        total = torch.linalg.vector_norm(torch.stack([norm.float() for norm in norms]), self.norm_type)
        factor = torch.clamp(self.max_norm / (total + _EPSILON), max=1.0)
        for grad in grads:
            grad.mul_(factor.to(grad.dtype))
        return total
