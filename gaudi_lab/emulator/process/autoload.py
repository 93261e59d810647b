"""When the bridge loads by itself: its own rule, and what forbids it."""

from __future__ import annotations

import os

from gaudi_lab.emulator.process.mode import LAZY_VARIABLE
from gaudi_lab.emulator.process.release import default_mode


def is_enabled() -> bool:
    """Return True if `import torch` shall load the bridge.

    ``PT_HPU_AUTOLOAD`` decides where it is 1 or 0. Otherwise everything loads with torch but lazy mode, which waits
    for `import habana_frameworks.torch`.
    """
    rule = os.environ.get("PT_HPU_AUTOLOAD")
    if rule in ("0", "1"):
        return rule == "1"
    return os.environ.get(LAZY_VARIABLE, default_mode()) != "1"


def is_refused() -> bool:
    """Return True if the environment says that the emulated bridge shall not load by itself."""
    return os.environ.get("GAUDI_LAB_EMULATE") in ("", "0") or "0" in (
        os.environ.get("PT_HPU_AUTOLOAD"),
        os.environ.get("TORCH_DEVICE_BACKEND_AUTOLOAD"),
    )
