"""Fused normalisation and gradient clipping."""

from .clip import FusedClipNorm
from .rms import FusedRMSNorm, RmsNormBwdMode

__all__ = ["FusedClipNorm", "FusedRMSNorm", "RmsNormBwdMode"]
