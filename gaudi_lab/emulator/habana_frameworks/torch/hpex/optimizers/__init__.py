"""Optimizers whose step is one graph that never compiles again: what changes from step to step is a tensor."""

from .adagrad import FusedAdagrad
from .adam import Adam, AdamW, FusedAdamW
from .lamb import FusedLamb
from .lars import FusedLars
from .sgd import FusedResourceApplyMomentum, FusedSGD

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
