"""The backend `hpu_backend` of `torch.compile`."""

from . import backends, config
from .backends import hpu_backend
from .experimental import enable_compiled_autograd

__all__ = ["backends", "config", "enable_compiled_autograd", "hpu_backend"]
