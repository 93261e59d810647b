"""Whether a result differs from the exact one by no more than its dtype rounds."""

from __future__ import annotations

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
