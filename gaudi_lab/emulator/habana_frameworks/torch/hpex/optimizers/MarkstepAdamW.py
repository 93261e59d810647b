"""PyTorch's AdamW with a step of its own, which `PT_HPU_REPLACE_ADAM_ADAMW` puts in its place."""

import torch
from torch.optim.adamw import adamw

from .stepping import SteppingMixin

__all__ = ["AdamW", "adamw"]


class AdamW(SteppingMixin, torch.optim.AdamW):
    """PyTorch's AdamW with a step of its own."""
