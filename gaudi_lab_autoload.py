"""What PyTorch calls at the end of every `import torch`, by the entry point `torch.backends`.

It lies outside the package `gaudi_lab` so that calling it does not import that package: a program that did
not ask for the emulated bridge must pay nothing and see no `hpu`.
"""

import os
import sys


def autoload() -> None:
    """Load the emulated bridge if this program has imported `gaudi_lab`, or has set ``GAUDI_LAB_EMULATE=1``."""
    setting = os.environ.get("GAUDI_LAB_EMULATE")
    asked = setting not in ("", "0") if setting is not None else "gaudi_lab" in sys.modules
    if asked:
        from gaudi_lab.emulator import autoload as load

        load()
