"""Utilities of the bridge."""

from . import event_dispatcher, internal, lib_utils

__all__ = ["event_dispatcher", "internal", "lib_utils"]
