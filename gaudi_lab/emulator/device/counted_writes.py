"""Writes into host memory that PyTorch does not count, counted where somebody has to know.

In eager mode operators run while another is dispatched, and there PyTorch neither counts a write nor knows whose view
it goes through. Who relies on `tensor._version` asks here for the memory to be looked after.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch

_counted: dict[int, list[weakref.ref[torch.Tensor]]] = {}


def count(tensor: torch.Tensor) -> None:
    """From now on every write into the memory of `tensor` shows in its `_version`."""
    key = tensor.untyped_storage()._cdata
    known = _counted.setdefault(key, [])
    if all(ref() is not tensor for ref in known):
        known.append(weakref.ref(tensor, lambda gone: _forget(key, gone)))


def note(written: Iterable[Any]) -> None:
    """Learn that tensors, or lists of them, were written into by an operator that PyTorch did not see."""
    if not _counted:
        return
    for x in written:
        if isinstance(x, (list, tuple)):
            note(x)
        elif isinstance(x, torch.Tensor) and x.layout is torch.strided:
            for ref in _counted.get(x.untyped_storage()._cdata, ()):
                if (tensor := ref()) is not None:
                    torch.autograd.graph.increment_version(tensor)


def _forget(key: int, gone: weakref.ref[torch.Tensor]) -> None:
    left = [ref for ref in _counted.get(key, ()) if ref is not gone]
    if left:
        _counted[key] = left
    else:
        _counted.pop(key, None)
