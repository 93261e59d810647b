"""Intel Gaudi's PyTorch bridge, emulated on the CPU. Importing it freezes the execution mode of the process."""

import os
import sys

import torch

from gaudi_lab.emulator import device, mode
from gaudi_lab.emulator.release import version as _version

__version__ = _version()

lazy = mode.lazy()  # decided here and now, as on hardware

# The bridge's lazy mode needs Intel's fork of PyTorch. The emulated one does not, and takes the place of the
# fork's build unless it is asked to be the build for upstream PyTorch.
if os.environ.get("GAUDI_LAB_TORCH_TYPE", "fork") == "upstream":
    assert not lazy, f"Stock PyTorch version {torch.__version__} is not supported in Lazy mode."

from . import hpu  # noqa: E402

device.set_up(hpu)
sys.modules["torch.hpu"] = hpu

from gaudi_lab.emulator import kernels as _kernels  # noqa: E402

from . import core, hpex, utils  # noqa: E402

__all__ = ["core", "hpex", "hpu", "utils"]
