"""Gaudi's own operators, `torch.ops.hpu.*`, as host kernels that a recorded graph can hold.

`library` defines them. `sdpa`, `rotary`, `normalization`, `beams`, `experts` and the three of softmax are parts
of models in one kernel each; `low_bits` computes with eight and four bits. `ctc` is a loss, and
`adamw` and `lamb` are optimizers; `plain` has operators of one step, and `twins` stand in for operators of PyTorch's.
"""

from gaudi_lab.emulator.kernels import (
    adamw,
    beams,
    block_softmax,
    ctc,
    experts,
    lamb,
    low_bits,
    masked_softmax,
    normalization,
    plain,
    rotary,
    sdpa,
    softmax,
    twins,
)

__all__ = [
    "adamw",
    "beams",
    "block_softmax",
    "ctc",
    "experts",
    "lamb",
    "low_bits",
    "masked_softmax",
    "normalization",
    "plain",
    "rotary",
    "sdpa",
    "softmax",
    "twins",
]
