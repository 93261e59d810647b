"""The batches of one evaluation: each is one iteration of a warm-up recorder, and tells its shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from gaudi_lab.measure.recorder import Recorder
from gaudi_lab.shapes import Shape, Shapes


class Measured:
    """A data loader of which each batch is one recorded iteration, from loading it to being done with it.

    Parameters
    ----------
    loader
        Any data loader; everything asked of this object but its batches is asked of that.
    recorder
        Entered already.
    """

    def __init__(self, loader: Any, recorder: Recorder) -> None:
        self._loader = loader
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self._loader)
        try:
            while True:
                # An iteration that raises is not recorded, and asking for a batch too many is none.
                with self._recorder.iteration():
                    batch = next(batches, _END)
                    if batch is _END:
                        raise _Exhausted
                    yield batch
        except _Exhausted:
            return


class _Exhausted(Exception):
    """There are no more batches."""


_END = object()


class Probe(nn.Module):
    """Is called with each batch, for a recorder to watch.

    Watching the model itself would put a hook on it, which `torch.compile` takes into what it compiles. And
    of an evaluation the batch is what one wants named, not what the model does with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, **tensors: torch.Tensor) -> None:
        """Do nothing."""

    def see(self, batch: Any, size: int) -> Shapes:
        """Show a batch of `size` samples to whoever watches, and return its shapes."""
        self.sizes.append(size)
        found = {name: x for name, x in _tensors(batch) if x.dim()}
        told = _one_for_all(found)
        self(**told)
        return tuple(Shape(name, tuple(x.shape)) for name, x in told.items())


def _tensors(batch: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(batch, Mapping):
        for name, value in batch.items():
            if isinstance(value, torch.Tensor):
                yield str(name), value


def _one_for_all(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return one tensor under the names of all, if the sizes of the others follow from its own.

    A size of 5 by 128 says all there is to say about a batch of token ids with mask and labels.
    """
    if not tensors:
        return {}
    largest = max(tensors.values(), key=torch.Tensor.dim)
    if all(x.shape == largest.shape[: x.dim()] for x in tensors.values()):
        return {", ".join(sorted(tensors)): largest}
    return tensors
