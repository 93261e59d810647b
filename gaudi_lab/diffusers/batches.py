"""Cut a generation into batches of one shape, and take the padding out again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Batch:
    """Some of the images of a generation, brought to the size of all other batches.

    Attributes
    ----------
    start
        Number of its first image.
    count
        How many images it makes.
    size
        How many it is padded to.
    """

    start: int
    count: int
    size: int

    def take(self, whole: torch.Tensor, total: int) -> torch.Tensor:
        """Cut this batch out of a tensor for all images, and pad it.

        Parameters
        ----------
        whole
            One row for each image; or several groups of such rows, one after the other, as classifier-free
            guidance has them.
        total
            How many images the generation has.

        Returns
        -------
        torch.Tensor
            A copy: a captured graph writes into the tensors that it was captured with.
        """
        rows = whole.reshape(-1, total, *whole.shape[1:])[:, self.start : self.start + self.count]
        return self._pad(rows)

    def pad(self, rows: torch.Tensor) -> torch.Tensor:
        """Bring the rows of this batch, in one or more groups, to its full size."""
        if self.count == self.size:
            return rows
        return self._pad(rows.reshape(-1, self.count, *rows.shape[1:]))

    def cut(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows of one or more groups without their padding."""
        if self.count == self.size:
            return rows
        groups = rows.reshape(-1, self.size, *rows.shape[1:])
        return groups[:, : self.count].flatten(0, 1)

    def take_generators(self, generators: Any) -> Any:
        """Cut this batch out of a list with one generator an image; anything else is for all of them."""
        if not isinstance(generators, list):
            return generators
        mine = generators[self.start : self.start + self.count]
        # What padding draws must come from nobody's generator.
        return mine + [torch.Generator() for _ in range(self.size - self.count)]

    def _pad(self, groups: torch.Tensor) -> torch.Tensor:
        # Repeated rows, not zeros: they go through every operator as real ones do, and never make a NaN.
        missing = self.size - self.count
        filling = groups[:, :1].expand(-1, missing, *groups.shape[2:])
        return torch.cat([groups, filling], dim=1).flatten(0, 1)


def split(total: int, size: int) -> Iterator[Batch]:
    """Yield the batches of `total` images, `size` at a time."""
    for start in range(0, total, size):
        yield Batch(start, min(size, total - start), size)


def join(parts: list[Any]) -> Any:
    """Join what the batches made, whatever kind it is: arrays, tensors, or lists of pictures."""
    first = parts[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(parts)
    if isinstance(first, list):
        return [item for part in parts for item in part]
    import numpy as np

    return np.concatenate(parts)
