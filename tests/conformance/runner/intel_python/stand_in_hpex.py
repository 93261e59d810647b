"""Stands in for the bridge's compiled module `_hpex_C`: the fused optimizers of lazy mode."""

from fused_stand_ins import (
    fused_adagrad,
    fused_ema,
    fused_lars,
    fused_norm,
    optimizer_sgd,
    optimizer_sgd_momentum,
)

__all__ = [
    "fused_adagrad",
    "fused_ema",
    "fused_lars",
    "fused_norm",
    "optimizer_sgd",
    "optimizer_sgd_momentum",
]
