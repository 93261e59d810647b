"""Which processes have a Gaudi open: one has to end before another can use it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

LOCK_PREFIX = "gaudi-lab-hpu"
"""How the name of the file begins that a process keeps open while it holds an emulated device for itself."""

# The driver's file for work; monitors such as hl-smi open `accel_controlD0` beside it, and hold nothing. Older drivers
# call it `hl0`. Others name theirs `accel0` too, as for the NPU of a laptop.
_DEVICE = re.compile(rf"/dev/(?:accel/(?P<accelerator>accel\d+)|hl\d+)$|/{LOCK_PREFIX}\d+-\d+\.lock$")
_HABANA = "0x1da3"
_ACCELERATORS = Path("/sys/class/accel")
_PROCESSES = Path("/proc")


@dataclass(frozen=True)
class Holder:
    """A process that has the device open.

    Attributes
    ----------
    process
        Its number.
    what
        What it is, such as "the kernel of train.ipynb" or "python serve.py".
    since
        When it was started, in seconds since 1970.
    """

    process: int
    what: str
    since: float

    def __str__(self) -> str:
        today = time.strftime("%F") == time.strftime("%F", time.localtime(self.since))
        started = time.strftime("%H:%M" if today else "%F %H:%M", time.localtime(self.since))
        return f"process {self.process}, {self.what}, started {started}"


def find() -> tuple[Holder, ...]:
    """Return the other processes that have a device open, as far as this user may see.

    Those of other users and of other containers cannot be seen, and where there is no `/proc` none can.
    """
    return tuple(sorted(_holders(), key=lambda holder: holder.since))


def _holders() -> Iterator[Holder]:
    import psutil  # ipykernel needs it as well

    for folder in _PROCESSES.glob("[0-9]*"):
        if int(folder.name) != os.getpid() and _has_device_open(folder):
            try:
                process = psutil.Process(int(folder.name))
                yield Holder(process.pid, _what(process), process.create_time())
            except psutil.Error:  # it has ended meanwhile
                continue


def _has_device_open(folder: Path) -> bool:
    try:
        return any(_is_device(os.readlink(link)) for link in (folder / "fd").iterdir())
    except OSError:  # another user's, or it has ended
        return False


def _is_device(file: str) -> bool:
    found = _DEVICE.search(file)
    if found is None or found["accelerator"] is None:
        return found is not None
    try:
        vendor = (_ACCELERATORS / found["accelerator"] / "device" / "vendor").read_text()
    except OSError:  # then it is not known whose it is
        return False
    return vendor.strip() == _HABANA


def _what(process: psutil.Process) -> str:
    command = process.cmdline()
    if not any("ipykernel" in word for word in command):
        return (
            " ".join(PurePath(word).name if "/" in word else word for word in command[:3]) or process.name()
        )
    # Jupyter's server tells its kernels which notebook they are for.
    notebook = process.environ().get("JPY_SESSION_NAME")
    return f"the kernel of {notebook}" if notebook else "a notebook's kernel"
