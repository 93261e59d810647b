"""Gaudi's own operators, `torch.ops.hpu.*`, as host kernels that a recorded graph can hold.

`library` defines them. `sdpa`, `rotary`, `softmax`, `masked_softmax`, `normalization`, `beams` and `experts` are parts
of models in one kernel each; `casts`, `gemm`, `float8_layers` and `int4` work on numbers of eight and four bits, and
`float8` says how those round and scale. `lamb` is an optimizer, `plain` has operators of one step.
"""

from gaudi_lab.emulator.kernels import (
    beams,
    casts,
    experts,
    float8_layers,
    gemm,
    int4,
    lamb,
    masked_softmax,
    normalization,
    plain,
    rotary,
    sdpa,
    softmax,
)

__all__ = [
    "beams",
    "casts",
    "experts",
    "float8_layers",
    "gemm",
    "int4",
    "lamb",
    "masked_softmax",
    "normalization",
    "plain",
    "rotary",
    "sdpa",
    "softmax",
]
