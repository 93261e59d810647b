"""The device `hpu`, made of PyTorch's Python backend. This module owns that experimental API.

Tested on torch 2.13.
"""

from __future__ import annotations

import os
from types import ModuleType

import torch
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from gaudi_lab.emulator.device import tensor
from gaudi_lab.emulator.device.random import generator as device_generator
from gaudi_lab.emulator.operators import autocast, dispatch, factories
from gaudi_lab.emulator.torch_patches import generator, module_moves, storage
from gaudi_lab.emulator.traced import higher_order

_libraries: list[torch.library.Library] = []


def set_up(backend: ModuleType) -> None:
    """Make `torch.device("hpu")` work, with `backend` as `torch.hpu`. Happens once in a process.

    Raises
    ------
    RuntimeError
        This PyTorch has no Python backend, or another one has taken the place.
    """
    if _libraries:
        return
    # An autograd thread that ends while Python is being torn down aborts the process: let none be waited for.
    os.environ.setdefault("TORCH_AUTOGRAD_SHUTDOWN_WAIT_LIMIT", "0")
    _setup_privateuseone_for_python_backend("hpu", backend_module=backend)
    tensor.wire(dispatch.dispatch, storage.reduce, storage.storage_of)
    _libraries.extend(factories.register())
    _libraries.extend(autocast.register())
    generator.set_up()
    storage.register()
    higher_order.register()
    module_moves.register()
    device_generator.manual_seed(torch.initial_seed())
