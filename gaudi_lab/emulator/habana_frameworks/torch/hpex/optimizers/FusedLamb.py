"""LAMB: Adam whose step is scaled layer by layer."""

from __future__ import annotations

from typing import Any

import torch

from .base import FusedOptimizer, Update


class FusedLamb(FusedOptimizer):
    """LAMB: the step of each parameter is as long as its norm, times the learning rate.

    Parameters
    ----------
    grad_averaging
        Whether the gradient enters the first moment weighted by 1 - beta1.
    set_grad_none
        Whether `zero_grad` takes the gradients away instead of filling them with zeros.
    max_grad_norm
        All gradients together are scaled down to this norm; None or 0 for never.
    use_lamb
        Whether parameters without weight decay are scaled too.
    amsgrad, adam_w_mode, fused, dtype
        The first must be False; the others change nothing, in the bridge neither, but `dtype`: the one in which the
        norm of the gradients is taken.

    Raises
    ------
    RuntimeError
        `amsgrad` is True.
    """

    no_sparse = "Lamb does not support sparse gradients, consider SparseAdam instead."
    own = ("_set_grad_none", "_use_lamb", "_dtype", "_clip")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        bias_correction: bool = True,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        adam_w_mode: bool = True,
        grad_averaging: bool = True,
        set_grad_none: bool = True,
        max_grad_norm: float | None = 1.0,
        use_lamb: bool = False,
        fused: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        if amsgrad:
            raise RuntimeError("FusedLamb does not support the AMSGrad variant.")
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
        self._set_grad_none = set_grad_none
        self._use_lamb = use_lamb
        self._dtype = dtype or torch.float32
        self._clip: torch.Tensor | None = None

    def zero_grad(self, set_to_none: bool | None = None) -> None:
        """Take the gradients away, or fill them with zeros, as was asked for here or when this was made."""
        super().zero_grad(self._set_grad_none if set_to_none is None else set_to_none)

    def prepare(self, grads: list[torch.Tensor]) -> None:
        """Find by what all gradients are scaled down."""
        limit = self.defaults["max_grad_norm"]
        if grads and limit:
            norm = torch.linalg.vector_norm(torch.stack([grad.to(self._dtype).norm() for grad in grads]))
            self._clip = torch.clamp(norm / limit, min=1.0)

    def update(self, one: Update) -> None:
        """Update one parameter in place."""
        beta1, beta2 = one.group["betas"]
        step = one.count()
        grad = one.grad if self._clip is None else one.grad / self._clip
        mean, square = one.moments(grad, 1 - beta1 if one.group["grad_averaging"] else 1)
        if one.group["bias_correction"]:
            mean, square = mean / (1 - beta1**step), square / (1 - beta2**step)
        update = one.with_decay(mean / (square.sqrt() + one.group["eps"]))
        if one.group["weight_decay"] or self._use_lamb:
            length, norm = one.parameter.norm(), update.norm()
            update = update * torch.where((length > 0) & (norm > 0), length / norm, 1.0)
        one.go_down(one.rate * update)
