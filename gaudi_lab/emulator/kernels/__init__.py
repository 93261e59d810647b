"""Gaudi's own operators, `torch.ops.hpu.*`, as host kernels that a recorded graph can hold."""

from gaudi_lab.emulator.kernels import (
    attention,
    casts,
    experts,
    gemm,
    int4,
    normalization,
    rotary,
    softmax,
)

__all__ = [
    "attention",
    "casts",
    "experts",
    "gemm",
    "int4",
    "normalization",
    "rotary",
    "softmax",
]
