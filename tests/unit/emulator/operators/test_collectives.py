"""Collectives of one process: what Gloo is given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist

from gaudi_lab.emulator.device import counted_writes


@pytest.fixture
def hccl(mode) -> Iterator[None]:
    """A group of one process. Loading the bridge has made the backend known."""
    dist.init_process_group("hccl", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.filterwarnings(
    "ignore:.*is deprecated. Please use:FutureWarning"
)  # the name that other programs use
@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (6,)])
def test_one_tensor_for_all_ranks_may_have_any_shape(hccl, shape):
    x = torch.arange(6.0, device="hpu").reshape(2, 3) + 1
    for collective in (dist.all_gather_into_tensor, dist.reduce_scatter_tensor):
        out = torch.zeros(shape, device="hpu")
        collective(out, x)
        assert out.shape == shape
        assert torch.equal(out.flatten().cpu(), x.flatten().cpu())
        later = torch.zeros(shape, device="hpu")
        collective(later, x, async_op=True).wait()
        assert torch.equal(later.cpu(), out.cpu())


def test_what_a_collective_writes_shows_where_writes_are_counted(hccl):
    x = torch.ones(2, 3).to("hpu")
    counted_writes.count(x._cell.host)
    before = x._cell.host._version
    dist.broadcast(x, 0)
    assert x._cell.host._version > before
