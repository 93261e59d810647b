"""What Intel's programs take of torchvision, of which there is no CPU build beside this torch: MNIST from its files.

hello_world asks for twelve loading processes for each of its own. They are held to one here: a server has the cores.
"""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader

from torchvision import datasets, transforms

_init = DataLoader.__init__


def _with_few_workers(self: Any, *args: Any, num_workers: int = 0, **options: Any) -> None:
    _init(self, *args, num_workers=min(num_workers, 1), **options)


DataLoader.__init__ = _with_few_workers

__all__ = ["datasets", "transforms"]
