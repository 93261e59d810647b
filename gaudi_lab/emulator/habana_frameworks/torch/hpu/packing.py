"""Tensors out of what a model takes and gives, and back: a graph has tensors only."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import torch


class TensorPacker:
    """Takes tuples, lists and dictionaries apart into tensors and a structure, and puts them together again.

    Parameters
    ----------
    verbose
        Print of which values the graph will keep what they were when it was captured.
    """

    def __init__(self, is_out_pack: bool = False, verbose: bool = False) -> None:
        self._verbose = verbose

    class Index:
        """The place of a tensor among those that were taken out."""

        def __init__(self, value: int) -> None:
            self.value = value

        def __repr__(self) -> str:
            return f"#{self.value:d}"

    def pack(self, outs: Any) -> tuple[tuple[torch.Tensor, ...], Any]:
        """Return the tensors in `outs`, and `outs` with an `Index` in the place of each."""
        tensors: list[torch.Tensor] = []

        def take(part: Any) -> Any:
            if torch.is_tensor(part):
                tensors.append(part)
                return self.Index(len(tensors) - 1)
            if self._verbose and not isinstance(part, (tuple, list, dict)):
                sys.stdout.write(f"[WARNING] Variable of type {type(part)} will not be dynamic\n")
            return self._inside(part, take)

        metadata = take(outs)
        return tuple(tensors), metadata

    def unpack(self, tensors: Any, metadata: Any) -> Any:
        """Return `metadata` with a tensor in the place of each `Index`."""
        if isinstance(metadata, self.Index):
            return tensors[metadata.value]
        return self._inside(metadata, lambda part: self.unpack(tensors, part))

    @staticmethod
    def _inside(whole: Any, change: Callable[[Any], Any]) -> Any:
        """Return `whole` with `change` done to what a container holds; the kind of container stays."""
        if isinstance(whole, tuple):
            return tuple([change(part) for part in whole])
        if isinstance(whole, (list, dict)):
            changed = copy.copy(whole)
            for key in range(len(whole)) if isinstance(whole, list) else whole:
                changed[key] = change(whole[key])
            return changed
        return whole
