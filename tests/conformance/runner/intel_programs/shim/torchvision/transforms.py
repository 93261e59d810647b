"""Three transforms, for images of bytes."""

from __future__ import annotations

from typing import Any

import torch


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Any) -> None:
        self.transforms = transforms

    def __call__(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x


class ToTensor:
    """Bytes (height, width) to floats from 0 to 1, (1, height, width)."""

    def __call__(self, x: Any) -> torch.Tensor:
        return torch.tensor(x, dtype=torch.float32).div(255)[None]


class Normalize:
    """Take the mean away and divide by the deviation."""

    def __init__(self, mean: Any, deviation: Any) -> None:
        self.mean, self.deviation = mean[0], deviation[0]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.deviation
