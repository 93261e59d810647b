"""Acquiring the device: the moment at which the bridge finds out what stands in the way.

It may have been loaded for the other mode; there may be no device; or another process may hold it. The emulated
device can be shared, unlike a card: ``GAUDI_LAB_EXCLUSIVE=1`` makes it as exclusive as one, so that a second
notebook meets the error that it would meet on hardware.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import torch

from gaudi_lab.emulator.device.events import EventId, publish
from gaudi_lab.emulator.process import flags, mode

_acquired = False
_lock: IO[str] | None = None  # held open for as long as the process holds the device


def device_count() -> int:
    """Return the number of devices: one is emulated, unless ``HABANA_VISIBLE_DEVICES`` hides it."""
    return 0 if os.environ.get("HABANA_VISIBLE_DEVICES") in ("", "none", "void") else 1


def check_index(device: torch.device) -> torch.device:
    """Return `device`.

    Raises
    ------
    RuntimeError
        It is an `hpu` that is not there: one is emulated.
    """
    if device.type == "hpu" and device.index not in (None, 0):
        raise RuntimeError(f"{device} does not exist: one device is emulated, hpu:0")
    return device


def is_acquired() -> bool:
    """Return True once the process holds the device."""
    return _acquired


def acquire() -> None:
    """Hold the device, from the first use on until the process ends.

    Raises
    ------
    RuntimeError
        ``PT_HPU_LAZY_MODE`` was changed after the bridge was loaded: it has loaded the library of the other mode.
        Or there is no device, or another process holds it, or nobody can tell whether one does.
    """
    global _acquired
    if _acquired:
        return
    if not mode.is_forced() and mode.from_environment() != mode.lazy():
        problem = "Expected was EAGER, got LAZY." if mode.lazy() else "Expected LAZY, got EAGER."
        raise RuntimeError(f"Wrong PT plugin library loaded in the system. {problem}")
    if device_count() == 0:
        raise RuntimeError("synStatus=8 [Device not found] Device acquire failed.")
    if flags.read_boolean("GAUDI_LAB_EXCLUSIVE", default=False):
        _take()
    _acquired = True
    publish(EventId.DEVICE_ACQUIRED)


def _take() -> None:
    import fcntl  # not on Windows, where only the shared device is emulated

    global _lock
    try:
        lock = (Path(tempfile.gettempdir()) / f"gaudi-lab-hpu0-{os.getuid()}.lock").open("w")
    except OSError as error:  # as where the driver is there and does not answer
        raise RuntimeError("synStatus=26 [Generic failure] Device acquire failed.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise RuntimeError("synStatus=20 [Device already acquired] Device acquire failed.") from None
    _lock = lock
