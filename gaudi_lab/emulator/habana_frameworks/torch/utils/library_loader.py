"""Loading of the bridge's libraries. The emulated bridge has none, and is there once it was imported."""

from __future__ import annotations

from gaudi_lab.emulator.device.acquire import device_count


def is_habana_available() -> bool:
    """Return True if there is a device. The bridge asks the command ``hl-smi``, which needs a driver."""
    return device_count() > 0


def load_habana_module() -> None:
    """Do nothing: the device is there once `habana_frameworks.torch` was imported, which this import has done."""


def load_habana_profiler() -> None:
    """Refuse: what it loads traces the hardware.

    Raises
    ------
    RuntimeError
        Always.
    """
    raise RuntimeError(
        "load_habana_profiler loads a library that traces the hardware, and there is none: use torch.profiler, which "
        "records what the host does for the device"
    )
