"""AdamW for PyTorch's distributed optimizers, which hand it the gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .. import FusedAdamW as _OfParameters


class FusedAdamW:
    """AdamW whose `step` takes the gradients, one for each parameter.

    Attributes
    ----------
    state
        What is kept for each parameter from step to step.

    Raises
    ------
    ValueError
        There is no parameter, or a number is out of its range.
    """

    def __init__(
        self,
        params: list[torch.Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        _allow_empty_param_list: bool = False,
        moments_dtype: Any = None,
    ) -> None:
        if not params and not _allow_empty_param_list:
            raise ValueError("optimizer got an empty parameter list")
        self.param_group = {"params": params}
        self._optimizer = (
            _OfParameters(params, lr, betas, eps, weight_decay, moments_dtype=moments_dtype)
            if params
            else None
        )
        self.state: dict[torch.Tensor, dict[str, torch.Tensor]] = (
            self._optimizer.state if self._optimizer else {}
        )

    def step(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Update every parameter that has a gradient.

        Raises
        ------
        ValueError
            There are not as many gradients as parameters.
        """
        params = self.param_group["params"]
        if len(params) != len(gradients):
            raise ValueError(
                "the gradients passed in does not equal to the size of the parameters!"
                f"Params length: {len(params)}. Gradients length: {len(gradients)}"
            )
        if self._optimizer is None:
            return
        before = [parameter.grad for parameter in params]
        try:
            for parameter, gradient in zip(params, gradients, strict=True):
                parameter.grad = gradient
            self._optimizer.step()
        finally:
            for parameter, gradient in zip(params, before, strict=True):
                parameter.grad = gradient
