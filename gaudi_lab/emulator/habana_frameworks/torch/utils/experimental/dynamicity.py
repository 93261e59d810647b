"""How much the shapes of a data loader vary."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils import _pytree as pytree

_logger = logging.getLogger(__name__)

Shapes = tuple[tuple[int, ...], ...]


def data_dynamicity(dataloader: Iterable[Any]) -> dict[Shapes, int]:
    """Return how often each combination of shapes comes out of `dataloader`, and log how much they vary."""
    counts = Counter(_shapes(batch) for batch in dataloader)
    _logger.warning("There is %s dynamicity", _amount(len(counts), counts.total()))
    return dict(counts)


def _amount(shapes: int, batches: int) -> str:
    if shapes <= 1:
        return "no"
    share = shapes / batches
    if share > 0.5:
        return "a lot of"
    return "some" if share > 0.1 else "a little"


def const_shape_dataloader(dataloader: Iterable[Any]) -> Iterator[Any]:
    """Yield those batches of `dataloader` that have the shapes of the first one.

    What then still compiles again does so for another reason than the data.
    """
    first: Shapes | None = None
    for batch in dataloader:
        shapes = _shapes(batch)
        first = first or shapes
        if shapes == first:
            yield batch


def _shapes(batch: Any) -> Shapes:
    return tuple(tuple(x.shape) for x in pytree.tree_leaves(batch) if isinstance(x, torch.Tensor))
