"""Gaudi's fused operators."""

from . import kernels, normalization

__all__ = ["kernels", "normalization"]
