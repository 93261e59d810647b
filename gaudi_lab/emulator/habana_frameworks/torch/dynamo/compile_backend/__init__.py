"""The backend `hpu_backend` of `torch.compile`."""

from . import config
from .backend import hpu_backend

__all__ = ["config", "hpu_backend"]
