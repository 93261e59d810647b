"""Writes that PyTorch does not count are counted where somebody asked for it."""

import gc

import pytest
import torch

from gaudi_lab.emulator import set_lazy
from gaudi_lab.emulator.device import counted_writes


@pytest.fixture
def parameter():
    """A tensor on the device in eager mode, whose memory is looked after."""
    set_lazy(False)
    made = torch.ones(2, 3).to("hpu")
    counted_writes.count(made._cell.host)
    return made


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.add_(1),
        lambda x: x.view(-1)[1:].mul_(2),
        lambda x: x.copy_(torch.zeros(2, 3)),
        lambda x: torch.add(x, 1, out=x),
        lambda x: torch._foreach_add_([x], 1.0),
        lambda x: x.data.t()[0].zero_(),
    ],
)
@torch.no_grad()
def test_a_write_in_eager_mode_shows(parameter, write):
    before = parameter._cell.host._version
    parameter + 1
    assert parameter._cell.host._version == before
    write(parameter)
    assert parameter._cell.host._version > before


def test_a_copy_into_new_memory_shows():
    set_lazy(False)
    made = torch.empty(2, 3, device="hpu")
    counted_writes.count(made._cell.host)
    before = made._cell.host._version
    made.copy_(torch.zeros(2, 3))
    assert made._cell.host._version > before


def test_nothing_is_kept_of_what_is_gone():
    host = torch.ones(2)
    key = host.untyped_storage()._cdata
    counted_writes.count(host)
    counted_writes.count(host)
    assert len(counted_writes._counted[key]) == 1
    del host
    gc.collect()
    assert key not in counted_writes._counted
