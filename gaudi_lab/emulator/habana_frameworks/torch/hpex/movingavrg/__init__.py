"""Moving averages of a model's weights."""

from .FusedEMA import FusedEMA

__all__ = ["FusedEMA"]
