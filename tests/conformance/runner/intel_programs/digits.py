"""Digits in MNIST's file format, and the checkpoint that Intel's inference tutorials load: nothing is downloaded.

    python digits.py FOLDER

Each digit is drawn from a small bitmap at a place of its own, with noise: easy, and wrong results show all the same.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Rows of five points, one number a row.
_GLYPHS = (
    (14, 17, 19, 21, 25, 17, 14), (4, 12, 4, 4, 4, 4, 14), (14, 17, 1, 2, 4, 8, 31), (31, 2, 4, 2, 1, 17, 14),
    (2, 6, 10, 18, 31, 2, 2), (31, 16, 30, 1, 1, 17, 14), (6, 8, 16, 30, 17, 17, 14), (31, 1, 2, 4, 8, 8, 8),
    (14, 17, 17, 14, 17, 17, 14), (14, 17, 17, 15, 1, 2, 12),
)  # fmt: skip
# A multiple of what the tutorials and two processes take at a time.
SIZES = {"train": 4096, "t10k": 1024}


class Net(nn.Module):
    """The network of the inference tutorials, by the names that their checkpoint has."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 256), nn.Linear(256, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of each digit, (batch, 10), for images (batch, 1, 28, 28)."""
        hidden = F.relu(self.fc2(F.relu(self.fc1(x.view(-1, 784)))))
        return F.log_softmax(self.fc3(hidden), dim=1)


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (count, 28, 28) of bytes, and their digits (count,)."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count).astype(np.uint8)
    images = random.integers(0, 90, (count, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        points = [[255 * (row >> (4 - column) & 1) for column in range(5)] for row in _GLYPHS[label]]
        top, left = random.integers(0, 8), random.integers(0, 14)
        place = image[top : top + 21, left : left + 15]
        np.maximum(place, np.kron(points, np.ones((3, 3))).astype(np.uint8), out=place)
    return images, labels


def write(folder: Path) -> None:
    """Write train and test set as ``MNIST/raw/*-ubyte`` below `folder`."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for seed, (name, count) in enumerate(SIZES.items()):
        images, labels = draw(count, seed)
        header = struct.pack(">IIII", 2051, count, 28, 28)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())


def normalised(images: np.ndarray) -> torch.Tensor:
    """Return images as the tutorials feed them, (count, 1, 28, 28)."""
    return (torch.from_numpy(images).float().div(255)[:, None] - 0.1307) / 0.3081


def train(checkpoint: Path) -> float:
    """Train the network on the CPU, save it, and return its accuracy on the test set in percent."""
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    images, labels = draw(SIZES["train"], 0)
    x, y = normalised(images), torch.from_numpy(labels).long()
    for _ in range(3):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.nll_loss(net(x[batch]), y[batch]).backward()
            optimizer.step()
    torch.save(net.state_dict(), checkpoint)
    images, labels = draw(SIZES["t10k"], 1)
    with torch.no_grad():
        right = net(normalised(images)).argmax(1) == torch.from_numpy(labels)
    return 100 * right.float().mean().item()


if __name__ == "__main__":
    here = Path(sys.argv[1])
    write(here / "data")
    print(f"RESULT {train(here / 'mnist-epoch_20.pth'):.2f}")
