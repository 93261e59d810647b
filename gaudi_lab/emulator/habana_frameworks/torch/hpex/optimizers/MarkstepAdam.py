"""PyTorch's Adam with a step of its own, which `PT_HPU_REPLACE_ADAM_ADAMW` puts in its place."""

import torch
from torch.optim.adam import adam

from .stepping import SteppingMixin

__all__ = ["Adam", "adam"]


class Adam(SteppingMixin, torch.optim.Adam):
    """PyTorch's Adam with a step of its own."""
