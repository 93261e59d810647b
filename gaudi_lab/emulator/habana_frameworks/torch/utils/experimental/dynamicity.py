"""How much the shapes of a data loader vary."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader

_logger = logging.getLogger(__name__)

Shapes = tuple[tuple[int, ...], ...]


def data_dynamicity(dl: Iterable[Any]) -> dict[Shapes, int]:
    """Return how often each combination of shapes comes out of `dl`, and log how much they vary."""
    counts = Counter(_shapes(batch) for batch in dl)
    _logger.warning("There is %s dynamicity", _amount(len(counts), counts.total()))
    return dict(counts)


def _amount(shapes: int, batches: int) -> str:
    if shapes <= 1:
        return "no"
    share = shapes / batches
    if share > 0.5:
        return "a lot of"
    return "some" if share > 0.1 else "a little"


def const_shape_dataloader(dl: Iterable[Any], maxlen: int) -> DataLoader[Any]:
    """Return a loader of batches of one combination of shapes: the first of which `dl` has more than `maxlen`.

    There are at most `maxlen`, and fewer where no combination has that many; then it is the most frequent one. What
    then still compiles again does so for another reason than the data.

    Raises
    ------
    AssertionError
        There is no batch.
    """
    found: dict[Shapes, list[Any]] = {}
    for batch in dl:
        alike = found.setdefault(_shapes(batch), [])
        if len(alike) == maxlen:
            break
        alike.append(batch)
    else:
        assert found, "Perhaps dataset is empty"
        alike = max(found.values(), key=len)
    # The loader hands out what a list has, whatever it is.
    return DataLoader(alike, batch_size=None, collate_fn=None)  # type: ignore[arg-type]


def _shapes(batch: Any) -> Shapes:
    return tuple(tuple(x.shape) for x in pytree.tree_leaves(batch) if isinstance(x, torch.Tensor))
