"""Optimizers whose step is one graph that never compiles again: what changes from step to step is a tensor."""

from .FusedAdagrad import FusedAdagrad
from .FusedAdamW import FusedAdamW
from .FusedLamb import FusedLamb
from .FusedLars import FusedLars
from .FusedResourceApplyMomentum import FusedResourceApplyMomentum
from .FusedSGD import FusedSGD
from .MarkstepAdam import Adam
from .MarkstepAdamW import AdamW

__all__ = [
    "Adam",
    "AdamW",
    "FusedAdagrad",
    "FusedAdamW",
    "FusedLamb",
    "FusedLars",
    "FusedResourceApplyMomentum",
    "FusedSGD",
]
