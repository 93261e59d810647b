"""What Python and PyTorch call before a program has imported `gaudi_lab`.

`autoload` stands at the end of every `import torch`, by the entry point `torch.backends`. `install` stands at the
start of Python where ``GAUDI_LAB_EMULATE=1``, by `gaudi_lab.pth`. They lie outside the package `gaudi_lab` so that
calling them does not import it: a program that did not ask for the emulated bridge must pay nothing and see no `hpu`.
"""

import os
import sys


class BridgeOnDemand:
    """A finder for `habana_frameworks`, last of all: it imports `gaudi_lab` only when nobody else has the package."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """Return the emulated package's spec."""
        if name != "habana_frameworks":
            return None
        from gaudi_lab.emulator.process.finder import EmulatedBridgeFinder

        return EmulatedBridgeFinder.find_spec(name, path, target)


def install() -> None:
    """Let `import habana_frameworks.torch` find the emulated bridge, also before torch or `gaudi_lab` is imported."""
    sys.meta_path.append(BridgeOnDemand)


def autoload() -> None:
    """Load the emulated bridge if this program has imported `gaudi_lab`, or has set ``GAUDI_LAB_EMULATE=1``."""
    setting = os.environ.get("GAUDI_LAB_EMULATE")
    imported = "gaudi_lab" in sys.modules
    if setting in ("", "0") or (setting is None and not imported):
        return
    from gaudi_lab import emulator

    if imported:
        emulator.appear()
    else:
        emulator.autoload()
