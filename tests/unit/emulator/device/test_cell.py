"""Cells: who keeps the memory of a tensor, and for how long."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from gaudi_lab.emulator.device.memory import ledger
from gaudi_lab.emulator.lazy.record import tape


@pytest.fixture
def no_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def step(model, x):
    loss = (model(x) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(parameter.grad, alpha=0.01)
            parameter.grad = None
    return loss.detach()


def test_memory_is_flat_over_many_training_steps_without_a_garbage_collector(mode, no_gc):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 1)).to("hpu")
    x = torch.randn(3, 4).to("hpu")
    held = []
    for _ in range(60):
        step(model, x)
        tape.flush()
        held.append((ledger.active, ledger.in_use))

    assert len(set(held[5:])) == 1


def test_a_cell_goes_with_its_tensor(mode, no_gc):
    x = torch.ones(1000).to("hpu")
    y = x * 2
    tape.flush()
    cell = weakref.ref(y._cell)
    before = ledger.in_use
    del y

    assert cell() is None
    assert before - ledger.in_use == 4000


def test_a_view_keeps_the_memory_and_counts_it_once(mode, no_gc):
    base = torch.ones(1000).to("hpu")
    used = ledger.in_use
    view = base[10:]
    tape.flush()
    assert ledger.in_use == used
    del base
    assert ledger.in_use == used
    del view
    assert used - ledger.in_use == 4000


def test_what_failed_does_not_keep_its_inputs(lazy, no_gc):
    x = torch.ones(1000).to("hpu")
    cell = weakref.ref(x._cell)
    bad = x[torch.tensor([5000]).to("hpu")]
    with pytest.raises(IndexError):
        tape.flush()
    del x, bad

    assert cell() is None
