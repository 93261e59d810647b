"""What the bridge offers on trial."""

from __future__ import annotations

import torch


def enable_compiled_autograd(**kwargs: object) -> None:
    """Let Dynamo trace the backward pass too. `kwargs` are options of `torch.compile` for it, and are not needed."""
    torch._dynamo.config.compiled_autograd = True
