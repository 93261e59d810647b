"""Compare a replay with a plain call, and leave everything as the plain call does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_map_only

from gaudi_lab import bridge

CHECKS = 3
"""How many replays of a graph are compared: a state that a graph does not hold shows at the second at the latest."""

# Relative to the largest number of a tensor: kernels may be chosen anew, and add in another order.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
_COARSE = 2e-2


def copies_of(result: Any) -> Any:
    """Return `result` with copies of its tensors."""
    return tree_map_only(torch.Tensor, torch.clone, result)


def compare(
    replay: Callable[[], Any], plain: Callable[[], Any], written: Sequence[torch.Tensor]
) -> tuple[Any, str | None]:
    """Run a replay, take back what it did, and run the plain call.

    Parameters
    ----------
    replay, plain
        The same call, both ways.
    written
        The tensors that it writes besides its results.

    Returns
    -------
    result
        That of the plain call.
    difference
        How the replay differs; None if it does not.
    """
    before = [x.clone() for x in written]
    drawn = bridge.random_state()
    replayed = copies_of(replay())
    left = [x.clone() for x in written]
    with torch.no_grad():
        for x, old in zip(written, before, strict=True):
            x.copy_(old)
    bridge.set_random_state(drawn)
    result = plain()
    return result, next(_differences(replayed, result, left, written), None)


def _differences(
    replayed: Any, result: Any, left: Sequence[torch.Tensor], written: Sequence[torch.Tensor]
) -> Iterator[str]:
    ours, theirs = (dict(tree_flatten_with_path(x)[0]) for x in (replayed, result))
    for path, x in theirs.items():
        if isinstance(x, torch.Tensor):
            found = _difference(ours.get(path), x)
            if found is not None:
                yield f"the result{keystr(path)} {found}"
    for x, y in zip(left, written, strict=True):
        found = _difference(x, y)
        if found is not None:
            yield f"a tensor {tuple(y.shape)} that the call writes {found}"


def _difference(x: Any, y: torch.Tensor) -> str | None:
    if not isinstance(x, torch.Tensor) or x.shape != y.shape or x.dtype != y.dtype:
        return "is another kind of value"
    if y.numel() == 0:
        return None
    if not y.dtype.is_floating_point:
        differ = int((x != y).sum())
        return f"differs in {differ} of {y.numel()} elements" if differ else None
    allowed = _TOLERANCE.get(y.dtype, _COARSE)
    x, y = x.detach().cpu().double(), y.detach().cpu().double()
    if not torch.equal(x.isfinite(), y.isfinite()):
        return "is not finite where the other is"
    gap, scale = (z.nan_to_num(0.0, 0.0, 0.0).abs().max().item() for z in (x - y, y))
    return f"differs by {gap:.2g}, its numbers being up to {scale:.2g}" if gap > allowed * scale else None
