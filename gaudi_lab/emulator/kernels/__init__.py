"""Gaudi's own operators, `torch.ops.hpu.*`, as host kernels that a recorded graph can hold."""

from gaudi_lab.emulator.kernels import (
    casts,
    experts,
    gemm,
    int4,
    normalization,
    rotary,
    sdpa,
    softmax,
)

__all__ = [
    "casts",
    "experts",
    "gemm",
    "int4",
    "normalization",
    "rotary",
    "sdpa",
    "softmax",
]
