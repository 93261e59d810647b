"""Gaudi's own operators, `torch.ops.hpu.*`, as host kernels that a recorded graph can hold.

`library` defines them. `sdpa`, `rotary`, `softmax`, `normalization` and `experts` are parts of models in one kernel
each; `casts`, `gemm` and `int4` work on numbers of eight and four bits, and `float8` says how those round and scale.
"""

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
