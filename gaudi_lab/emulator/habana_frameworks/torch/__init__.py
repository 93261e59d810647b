"""Intel Gaudi's PyTorch bridge, emulated on the CPU. Importing it freezes the execution mode of the process."""

import sys

import torch

from gaudi_lab.emulator import device, mode
from gaudi_lab.emulator.release import version as _version

__version__ = _version()

mode.lazy()  # decided here and now, as on hardware

from . import hpu  # noqa: E402

device.set_up(hpu)
sys.modules["torch.hpu"] = hpu

from gaudi_lab.emulator import kernels as _kernels  # noqa: E402

from . import core, hpex, utils  # noqa: E402

__all__ = ["core", "hpex", "hpu", "utils"]
