"""Compare a replay with a plain call, and leave everything as the plain call does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from gaudi_lab import bridge
from gaudi_lab.instruments import nested
from gaudi_lab.instruments.guard import call_arguments, graph_refusals
from gaudi_lab.report import GraphRefusal

CHECKS = 3
"""How many replays of a graph are compared: a state that a graph does not hold shows at the second at the latest."""

# Relative to the largest number of a tensor: kernels may be chosen anew, and add in another order.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
_COARSE = 2e-2


def copies_of(result: Any) -> Any:
    """Return `result` with copies of its tensors."""
    return nested.map_tensors(torch.clone, result)


def compare(
    replay: Callable[[], Any], plain: Callable[[], Any], written: Sequence[torch.Tensor]
) -> tuple[Any, GraphRefusal | None]:
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
    refusal
        How the replay differs, or why that cannot be said; None if it does not.
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
    difference = next(_differences(replayed, result, left, written), None)
    if difference is not None:
        return result, graph_refusals.refuse(graph_refusals.DIFFERS, detail=difference)
    if not written and (unknown := _in_which_nothing_is_found(result)):
        return result, graph_refusals.refuse(graph_refusals.NOT_COMPARED, detail=unknown)
    return result, None


def _in_which_nothing_is_found(result: Any) -> str:
    """Return the class of what a call has returned, if it may hold tensors and none was found; else nothing."""
    if next(nested.find_tensors(result), None) is not None:
        return ""
    unknown = [x for _, x in nested.leaves("", result) if not call_arguments.is_constant(x)]
    return type(unknown[0]).__name__ if unknown else ""


def _differences(
    replayed: Any, result: Any, left: Sequence[torch.Tensor], written: Sequence[torch.Tensor]
) -> Iterator[str]:
    ours = dict(nested.find_tensors(replayed, "the result"))
    for name, x in nested.find_tensors(result, "the result"):
        found = _difference(ours.get(name), x)
        if found is not None:
            yield f"{name} {found}"
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
