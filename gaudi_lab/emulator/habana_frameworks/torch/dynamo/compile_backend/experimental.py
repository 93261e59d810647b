"""What the bridge offers on trial."""

from __future__ import annotations

import torch


def enable_compiled_autograd() -> None:
    """Let Dynamo trace the backward pass too."""
    torch._dynamo.config.compiled_autograd = True
