"""Fused kernels."""

from .attention import FusedSDPA

__all__ = ["FusedSDPA"]
