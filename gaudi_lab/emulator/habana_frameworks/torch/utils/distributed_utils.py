"""An older place of `initialize_distributed_hpu`."""

from __future__ import annotations

import warnings

from ..distributed import hccl


def initialize_distributed_hpu() -> tuple[int, int, int]:
    """Return world size, rank and local rank, as `habana_frameworks.torch.distributed.hccl` does."""
    warnings.warn(
        "habana_frameworks.torch.utils.distributed_utils.initialize_distributed_hpu is deprecated. Please use "
        "habana_frameworks.torch.distributed.hccl.initialize_distributed_hpu",
        stacklevel=2,
    )
    return hccl.initialize_distributed_hpu()
