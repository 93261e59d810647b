"""Whether two results agree within the rounding of their dtype, and how far apart they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from gaudi_lab.custom_ops import torch_internals
from gaudi_lab.custom_ops.promises import tensors


class Closeness(NamedTuple):
    """How two results compare.

    Attributes
    ----------
    agrees
        Whether they are the same within the rounding of their dtype: that of `torch.testing.assert_close`.
    largest
        The largest absolute difference of two elements.
    text
        What differs, in words; the largest difference if nothing does.
    """

    agrees: bool
    largest: float
    text: str


def compare(out: Any, expected: Any, dtype: torch.dtype | None = None) -> Closeness:
    """Compare results with what was expected of them.

    Parameters
    ----------
    out, expected
        Tensors, or tuples of tensors, wherever they are. Those expected may be of a wider dtype.
    dtype
        Whose rounding is allowed; by default that of `out`.
    """
    ours, theirs = list(tensors(out)), list(tensors(expected))
    if len(ours) != len(theirs):
        return Closeness(False, float("nan"), f"{len(ours)} results, and {len(theirs)} were expected")
    largest = 0.0
    for number, (x, y) in enumerate(zip(ours, theirs, strict=True)):
        found = _compare(x.detach().cpu(), y.detach().cpu(), dtype)
        if not found.agrees:
            which = f"result {number + 1}: " if len(ours) > 1 else ""
            return found._replace(text=which + found.text)
        largest = max(largest, found.largest)
    return Closeness(True, largest, "equal" if largest == 0 else f"largest difference {largest:.2g}")


def _compare(x: torch.Tensor, y: torch.Tensor, dtype: torch.dtype | None) -> Closeness:
    if x.shape != y.shape:
        return Closeness(False, float("nan"), f"sizes {tuple(x.shape)}, and {tuple(y.shape)} were expected")
    if x.dtype.is_floating_point != y.dtype.is_floating_point or x.dtype.is_complex != y.dtype.is_complex:
        return Closeness(False, float("nan"), f"{x.dtype}, and {y.dtype} was expected")
    kind = dtype or x.dtype
    rtol, atol = torch_internals.rounding(kind)
    wide = torch.complex128 if x.dtype.is_complex else torch.float64
    a, b = x.to(wide), y.to(wide)
    close = torch.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    apart = (a - b).abs()
    finite = apart[torch.isfinite(apart)]
    largest = float(finite.max()) if finite.numel() else 0.0
    if bool(close.all()):
        return Closeness(True, largest, "")
    wrong = int((~close).sum())
    nans = int((a.isnan() & ~b.isnan()).sum())
    text = f"{wrong} of {close.numel()} elements differ, by up to {largest:.2g}"
    return Closeness(False, largest, text + (f"; {nans} are NaN" if nans else ""))
