"""`torch.accelerator` speaks of the device."""

from __future__ import annotations

import pytest
import torch


def test_synchronising_runs_what_is_recorded(lazy):
    y = torch.ones(2, device="hpu") + 1
    assert y._cell.host is None
    torch.accelerator.synchronize()
    assert y._cell.host is not None


def test_memory_is_that_of_the_device(mode):
    before = torch.accelerator.memory_allocated()
    x = torch.zeros(1000, device="hpu")
    torch.accelerator.synchronize()
    assert torch.accelerator.memory_allocated() - before == x.nbytes
    assert torch.accelerator.max_memory_allocated() >= torch.accelerator.memory_allocated()
    assert torch.accelerator.memory_allocated() == torch.hpu.memory_allocated()
    assert torch.accelerator.get_memory_info() == torch.hpu.mem_get_info()
    torch.accelerator.reset_peak_memory_stats()
    torch.accelerator.empty_cache()
    assert torch.accelerator.memory_reserved() == torch.hpu.memory_reserved()


def test_a_device_that_is_not_there_cannot_be_chosen(mode):
    with pytest.raises(RuntimeError, match="hpu:1 does not exist"):
        torch.accelerator.set_device_index(1)
    torch.accelerator.set_device_index(0)
    assert torch.accelerator.current_device_index() == 0


def test_a_capability_names_the_dtypes_of_which_tensors_are_made(mode):
    dtypes = torch.accelerator.get_device_capability("hpu:0")["supported_dtypes"]
    assert {torch.bfloat16, torch.float8_e4m3fn, torch.int64} <= dtypes
    assert all(torch.zeros(2, device="hpu").to(dtype).cpu().dtype == dtype for dtype in dtypes)
