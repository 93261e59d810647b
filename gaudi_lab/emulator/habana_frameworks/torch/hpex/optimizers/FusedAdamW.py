"""Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Any

import torch

from .base import FusedOptimizer, Update

_MOMENTS = ("exp_avg", "exp_avg_sq")


class FusedAdamW(FusedOptimizer):
    """Adam with decoupled weight decay.

    `eps` is added before the bias is corrected, so its default is a hundredth of what it is elsewhere.

    Parameters
    ----------
    moments_dtype
        The dtype of both moments; by default the parameter's. A pair gives each its own. A float8 has a scale for
        each tensor beside it.
    """

    own = ("_dtypes",)

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        bias_correction: bool = True,
        moments_dtype: Any = None,
    ) -> None:
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr} - should be >= 0.0")
        for beta in betas:
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter: {beta} - should be in [0.0, 1.0[")
        if eps < 0.0:
            raise ValueError(f"Invalid epsilon value: {eps} - should be >= 0.0")
        pair = isinstance(moments_dtype, (tuple, list))
        self._dtypes = tuple(moments_dtype) if pair else (moments_dtype, moments_dtype)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "bias_correction": bias_correction,
        }
        super().__init__(params, defaults)

    def update(self, one: Update) -> None:
        """Update one parameter in place."""
        beta1, beta2 = one.group["betas"]
        step = one.count()
        size = one.rate
        # The state of another AdamW that was loaded has none of the names, or transformers' older one.
        if one.group.get("bias_correction", one.group.get("correct_bias", True)):
            size = torch.sqrt(1 - beta2**step) / (1 - beta1**step) * one.rate
        decay = one.group["weight_decay"]
        moments = [[one.keep(name, dtype=dtype)] for name, dtype in zip(_MOMENTS, self._dtypes, strict=True)]
        with_scales = any(dtype is not None and dtype.itemsize == 1 for dtype in self._dtypes)
        torch.ops.hpu.optimizer_adamw(
            [one.grad],
            [one.parameter],
            *moments,
            (-size).to(one.parameter.device),
            beta1,
            beta2,
            one.group["eps"],
            (1 - one.rate * decay).to(one.parameter.device),
            bool(decay),
            *([[one.scale(name)] for name in _MOMENTS] if with_scales else (None, None)),
        )
