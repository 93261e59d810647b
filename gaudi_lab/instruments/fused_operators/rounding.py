"""Whether a result differs from the exact one by no more than its dtype rounds, and whether gradients agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

ROUNDINGS = 3
"""How often a formula may round to the dtype of its data: a product, a sum, a result."""

_INSIDE = 32
"""How many roundings to float32 may happen inside, where sums are made."""

DTYPES = (torch.float32, torch.bfloat16)
"""What Gaudi's fused operators compute in."""


def is_within(found: torch.Tensor, exact: torch.Tensor, magnitude: torch.Tensor | None = None) -> bool:
    """Whether `found` is `exact` within the rounding of its dtype.

    Parameters
    ----------
    found
        A result, on any device.
    exact
        The same in float64 on the host.
    magnitude
        How large the terms are that were added up for each number, in float64; the numbers themselves if None.
    """
    if tuple(found.shape) != tuple(exact.shape) or not found.dtype.is_floating_point:
        return False
    value = found.detach().cpu().double()
    if not bool(value.isfinite().all()):
        return False
    size = exact.abs() if magnitude is None else magnitude
    allowed = ROUNDINGS * torch.finfo(found.dtype).eps + _INSIDE * torch.finfo(torch.float32).eps
    # What is below the smallest normal number rounds by steps of a fixed size.
    return bool(((value - exact).abs() <= allowed * size + torch.finfo(torch.float32).tiny).all())


@torch.enable_grad()
def gradients_agree(
    ours: Callable[..., Any], theirs: Callable[..., Any], inputs: Sequence[torch.Tensor]
) -> bool:
    """Whether two functions of tensors have the same gradients for float32 inputs; False where one has none."""

    def gradients(compute: Callable[..., Any]) -> list[torch.Tensor]:
        out = compute(*inputs)
        total = sum(x.square().sum() for x in (out if isinstance(out, tuple) else (out,)))
        return [x.cpu().double() for x in torch.autograd.grad(total, inputs)]

    try:
        pairs = list(zip(gradients(ours), gradients(theirs), strict=True))
    except RuntimeError:
        return False
    return all(bool((a - b).abs().max() <= 1e-5 * b.abs().max() + 1e-30) for a, b in pairs)
