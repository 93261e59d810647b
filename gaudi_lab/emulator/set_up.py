"""Everything that is done to PyTorch and to the process to make the device `hpu`, in order.

The device is made of PyTorch's Python backend. This module owns that experimental API; tested on torch 2.13.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

import torch
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from gaudi_lab.emulator import kernels  # noqa: F401 - defines the operators `torch.ops.hpu`
from gaudi_lab.emulator.device import events, tensor, wider
from gaudi_lab.emulator.lazy import recipes
from gaudi_lab.emulator.operators import autocast, dispatch, factories, whole
from gaudi_lab.emulator.torch_patches import (
    accelerator,
    assigned_data,
    backward_errors,
    exchange,
    generator,
    module_moves,
    storage,
    streams_and_events,
)
from gaudi_lab.emulator.traced import constants, description, higher_order, one_size

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
    events.subscribe(events.EventId.DEVICE_ACQUIRED, recipes.open_cache)
    _setup_privateuseone_for_python_backend(
        "hpu", backend_module=backend, device_guard=backward_errors.DeviceGuard()
    )
    # PyTorch's fast paths for encoders make nested tensors on the devices they are for. A Gaudi is none of these.
    torch.utils.backend_registration._privateuse1_backend_name = "privateuseone"
    sys.modules["torch.hpu"] = backend
    tensor.wire(dispatch.dispatch, storage.reduce, storage.storage_of)
    _libraries.extend(factories.register())
    _libraries.extend(autocast.register())
    _libraries.append(whole.register())
    wider.register()
    backward_errors.register()
    generator.set_up()
    storage.register()
    exchange.register()
    higher_order.register()
    constants.register()
    description.register()
    one_size.register()
    module_moves.register()
    assigned_data.register()
    accelerator.register()
    streams_and_events.register()
