"""`MNIST`, read from the files of its own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class MNIST:
    """Images and labels below ``ROOT/MNIST/raw``; nothing is downloaded."""

    def __init__(self, root: str, train: bool = True, transform: Any = None, download: bool = False) -> None:
        raw, name = Path(root) / "MNIST" / "raw", "train" if train else "t10k"
        images = np.frombuffer((raw / f"{name}-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
        self.labels = np.frombuffer((raw / f"{name}-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
        self.images = images.reshape(-1, 28, 28)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.images[index]
        return image if self.transform is None else self.transform(image), int(self.labels[index])
