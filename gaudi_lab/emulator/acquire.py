"""Acquiring the device: the moment at which the bridge finds out that it was loaded for the other mode."""

from __future__ import annotations

from . import mode
from .events import EventId, publish

_acquired = False


def acquired() -> bool:
    """Return True once the process holds the device."""
    return _acquired


def acquire() -> None:
    """Hold the device, from the first use on until the process ends.

    Raises
    ------
    RuntimeError
        ``PT_HPU_LAZY_MODE`` was changed after the bridge was loaded: it has loaded the library of the other mode.
    """
    global _acquired
    if _acquired:
        return
    if not mode.forced() and mode.from_environment() != mode.lazy():
        problem = "Expected was EAGER, got LAZY." if mode.lazy() else "Expected LAZY, got EAGER."
        raise RuntimeError(f"Wrong PT plugin library loaded in the system. {problem}")
    _acquired = True
    publish(EventId.DEVICE_ACQUIRED)
