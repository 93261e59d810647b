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
from gaudi_lab.machine.holders import LOCK_PREFIX

_acquired = False
_lock: IO[str] | None = None  # held open for as long as the process holds the device


def device_count() -> int:
    """Return the number of devices that this process sees, of which it may use one.

    ``GAUDI_LAB_EMULATED_DEVICES`` says how many are emulated, otherwise it is one. ``HABANA_VISIBLE_MODULES`` lists
    those to be seen, and ``HABANA_VISIBLE_DEVICES=none`` hides all.

    Raises
    ------
    ValueError
        ``GAUDI_LAB_EMULATED_DEVICES`` is no number from 1 on.
    """
    if os.environ.get("HABANA_VISIBLE_DEVICES") in ("", "none", "void"):
        return 0
    asked = os.environ.get("GAUDI_LAB_EMULATED_DEVICES", "1")
    if not (asked.isdecimal() and int(asked) > 0):
        raise ValueError(f"GAUDI_LAB_EMULATED_DEVICES={asked!r} is no number of devices: say 1, 2, 4 or 8")
    visible = os.environ.get("HABANA_VISIBLE_MODULES")
    return min(int(asked), len(visible.split(","))) if visible else int(asked)


def check_index(device: torch.device) -> torch.device:
    """Return `device`.

    Raises
    ------
    RuntimeError
        It is an `hpu` that is not there: a process has one device, however many there are. That is its `hpu:0`, and may
        be called by the number that a launcher gave to the process.
    """
    if device.type == "hpu" and device.index not in (None, 0, module_of_process()):
        count = device_count()
        if count < 2:
            raise RuntimeError(f"{device} does not exist: one device is emulated, hpu:0")
        raise RuntimeError(
            f"{device} does not exist here: a process has one device, hpu:0. "
            f"Start a process for each: torchrun --nproc_per_node {count}, "
            "or accelerate launch with GAUDI_LAB_EMULATE=1 in the environment"
        )
    return device


def module_of_process() -> int | None:
    """Return which of the devices a launcher has given to this process; None if no launcher has."""
    for name in ("HLS_MODULE_ID", "LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"):
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name])
    return None


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
    if not mode.is_forced() and mode.from_environment() != mode.is_lazy():
        problem = "Expected was EAGER, got LAZY." if mode.is_lazy() else "Expected LAZY, got EAGER."
        raise RuntimeError(f"Wrong PT plugin library loaded in the system. {problem}")
    if device_count() == 0:
        raise RuntimeError("synStatus=8 [Device not found] Device acquire failed.")
    if flags.read_boolean("GAUDI_LAB_EXCLUSIVE", default=False):
        _take()
    _acquired = True
    publish(EventId.DEVICE_ACQUIRED)


def _take() -> None:
    global _lock
    own = module_of_process()
    for module in range(device_count()) if own is None else [own]:
        _lock = _lock_of(module)
        if _lock is not None:
            return
    raise RuntimeError("synStatus=20 [Device already acquired] Device acquire failed.")


def _lock_of(module: int) -> IO[str] | None:
    """Return the open lock of a device; None if another process holds it."""
    import fcntl  # not on Windows, where only the shared device is emulated

    try:
        lock = (Path(tempfile.gettempdir()) / f"{LOCK_PREFIX}{module}-{os.getuid()}.lock").open("w")
    except OSError as error:  # as where the driver is there and does not answer
        raise RuntimeError("synStatus=26 [Generic failure] Device acquire failed.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
