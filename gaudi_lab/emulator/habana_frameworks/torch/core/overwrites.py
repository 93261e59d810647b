"""What the bridge wraps in PyTorch as it loads. Source: the bridge's ``core/torch_overwrites.py``, release 1.19."""

from __future__ import annotations

import functools
from typing import Any

import torch

_done = False


def install() -> None:
    """Let `torch.Tensor.record_stream` take a stream of the device. Happens once."""
    global _done
    if _done:
        return
    _done = True
    record = torch.Tensor.record_stream

    @functools.wraps(record)
    def record_stream(self: torch.Tensor, stream: Any) -> None:
        # Memory of the device is freed when its last holder dies, whichever stream it was used in.
        if self.device.type != "hpu":
            record(self, stream)

    torch.Tensor.record_stream = record_stream  # type: ignore[method-assign,assignment]
