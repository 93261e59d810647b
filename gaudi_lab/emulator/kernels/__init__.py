"""Gaudi's own operators, `torch.ops.hpu.*`, as host kernels that a recorded graph can hold."""

from . import attention, normalization, rotary, softmax

__all__ = ["attention", "normalization", "rotary", "softmax"]
