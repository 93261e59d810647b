"""Softmax over the last dimension."""

from __future__ import annotations

from typing import Any

import torch


class CustomSoftmax(torch.autograd.Function):
    """Softmax as one kernel. Call `CustomSoftmax.apply(data, flavor)`."""

    @staticmethod
    def forward(ctx: Any, inp: torch.Tensor, flavor: int = 0) -> torch.Tensor:
        """Return the softmax of `inp` over its last dimension; the flavours approximate differently on hardware."""
        out: torch.Tensor = torch.ops.hpu.custom_softmax(inp, flavor)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """Return the gradient of the input."""
        (out,) = ctx.saved_tensors
        return torch.ops.hpu.custom_softmax_backward(grad, out), None
