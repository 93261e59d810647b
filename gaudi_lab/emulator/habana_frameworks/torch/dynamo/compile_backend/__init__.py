"""The backend `hpu_backend` of `torch.compile`."""

from .backend import hpu_backend

__all__ = ["hpu_backend"]
