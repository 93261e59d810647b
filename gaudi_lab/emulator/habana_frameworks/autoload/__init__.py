"""What PyTorch calls at the end of `import torch` where the bridge is installed."""

import sys

from gaudi_lab.emulator.process.autoload import is_enabled as is_autoload_enabled


def __autoload() -> None:
    """Load the bridge, unless it is loaded or the environment says no. Source: reference A.3."""
    if "habana_frameworks.torch" not in sys.modules and is_autoload_enabled():
        import habana_frameworks.torch


def __getattr__(name: str) -> bool:
    if name == "is_loaded":
        return "habana_frameworks.torch" in sys.modules
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
