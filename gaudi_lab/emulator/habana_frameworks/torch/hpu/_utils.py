"""Which card a process may take, as the environment says it, and which one a program means."""

from __future__ import annotations

from typing import Any

import torch

HABANA_VISIBLE_MODULES_VAR = "HABANA_VISIBLE_MODULES"
HLS_MODULE_ID_VAR = "HLS_MODULE_ID"


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """Return the index of `device`: a number, a name, a `torch.device`, or None for the one in use if `optional`.

    Raises
    ------
    ValueError
        It is no `hpu`, nor the CPU (index -1) where `allow_cpu`, or it has no index and is not `optional`.
    """
    if isinstance(device, int):
        return device
    found = torch.device(device) if isinstance(device, str) else device
    if isinstance(found, torch.device):
        if found.type == "cpu" and allow_cpu:
            return -1
        if found.type != "hpu":
            raise ValueError(f"Expected a hpu{' or cpu' * allow_cpu} device, but got: {found}")
        if found.index is not None:
            return int(found.index)
    if not optional:
        raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{device}")
    from . import current_device

    return current_device()
