"""Root mean square normalisation."""

from __future__ import annotations

import enum
from typing import Any

import torch


class RmsNormBwdMode(enum.IntEnum):
    """How hardware splits the backward pass; the numbers are the same."""

    DEFAULT = 0
    STATIC_CASE_WIDTH_PARTITIONING = 1


class FusedRMSNorm(torch.autograd.Function):
    """Root mean square normalisation as one kernel. Call `FusedRMSNorm.apply(data_in, gamma, eps)`."""

    @staticmethod
    def forward(
        ctx: Any,
        data_in: torch.Tensor,
        gamma: torch.Tensor,
        eps: float,
        use_stages: bool = True,
        bwd_mode: int = RmsNormBwdMode.DEFAULT,
        fast_math: bool = False,
    ) -> torch.Tensor:
        """Normalise `data_in` (..., features) by its root mean square and scale it by `gamma` (features,).

        `use_stages`, `bwd_mode` and `fast_math` choose between kernels of the hardware, which here compute the same.
        """
        ctx.fast = fast_math
        norm = torch.ops.hpu.rms_norm_fast if fast_math else torch.ops.hpu.rms_norm
        out, inverse = norm(data_in, gamma, eps)
        ctx.save_for_backward(data_in, gamma, inverse)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """Return the gradients of `data_in` and `gamma`."""
        back = torch.ops.hpu.rms_norm_fast_backward if ctx.fast else torch.ops.hpu.rms_norm_backward
        d_data, d_gamma = back(grad, *ctx.saved_tensors)
        return d_data, d_gamma, None, None, None, None
