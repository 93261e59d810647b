"""Optimizers for many cards."""

from .FusedAdamW import FusedAdamW

__all__ = ["FusedAdamW"]
