"""Utilities of the bridge."""

from . import internal

__all__ = ["internal"]
