"""Fused normalisation and gradient clipping."""

from .FusedClipNorm import FusedClipNorm
from .FusedRMSNorm import FusedRMSNorm, RmsNormBwdMode

__all__ = ["FusedClipNorm", "FusedRMSNorm", "RmsNormBwdMode"]
