"""The backend ``"hccl"`` of `torch.distributed`. The emulated device computes on the host, so Gloo carries it."""

from __future__ import annotations

import os
from typing import Any

import torch.distributed as dist

from ...hpu._utils import HABANA_VISIBLE_MODULES_VAR, HLS_MODULE_ID_VAR
from ...utils.experimental.distributed_emulation import (
    distributed_emulation_apply_if_enabled,
    is_distributed_emulation_enabled,
)

distributed_emulation_apply_if_enabled()


def _create(store: Any, rank: int, size: int, timeout: Any) -> Any:
    return dist.ProcessGroupGloo(store, rank, size, timeout)


if dist.is_available() and not hasattr(dist.Backend, "HCCL"):
    dist.Backend.register_backend("hccl", _create, devices=["cpu", "hpu"])


def initialize_distributed_hpu(
    world_size: int | None = None, rank: int | None = None, local_rank: int | None = None
) -> tuple[int, int, int]:
    """Return world size, rank and local rank: as given, else as the launcher's environment says."""
    return (
        _choose(world_size, "WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", default=1),
        _choose(rank, "RANK", "OMPI_COMM_WORLD_RANK", default=0),
        _choose(local_rank, "LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", default=0),
    )


def _choose(value: int | None, *names: str, default: int) -> int:
    if value is not None:
        return value
    return int(next((os.environ[name] for name in names if name in os.environ), default))
