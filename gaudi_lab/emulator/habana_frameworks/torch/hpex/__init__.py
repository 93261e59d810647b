"""Gaudi's fused operators and optimizers."""

from . import kernels, normalization

__all__ = ["kernels", "normalization"]
