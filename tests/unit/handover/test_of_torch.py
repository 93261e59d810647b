"""Tensors of the device: what shares memory does so afterwards, and nothing is compiled for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gaudi_lab import bridge, emulator
from gaudi_lab.handover.snapshot import load, take


@pytest.fixture(params=[False, True], ids=["eager", "lazy"])
def on_device(request):
    """A device, in each mode."""
    bridge.load()
    emulator.set_lazy(request.param)
    yield "hpu"
    emulator.set_lazy(False)


def tensors_over_the_same_memory(device):
    whole = torch.arange(6.0).reshape(2, 3).to(device).requires_grad_(True)
    weight = nn.Parameter(torch.ones(2, 2).to(device))
    flat = torch.arange(6.0).to(device)
    return {
        "whole": whole,
        "row": whole.detach()[1],
        "weight": weight,
        "end": weight.detach().view(-1)[1:],
        "flat": flat,
        "bits": flat.view(torch.int32),
        "columns": flat.view(2, 3).t(),
        "number": torch.tensor(3.0).to(device),
        "nothing": torch.empty(0, 3).to(device),
        "storage": flat.untyped_storage(),
    }


@pytest.mark.parametrize("turn", [1, -1])
def test_tensors_of_a_device_share_what_they_shared_whichever_is_loaded_first(on_device, turn, tmp_path):
    made = tensors_over_the_same_memory(on_device)
    names = list(made)[::turn]
    into: dict[str, Any] = {}
    loaded = load(take({name: made[name] for name in names}, folder=tmp_path).path, into)
    assert loaded.left == loaded.differs == loaded.not_compared == ()
    storage = made.pop("storage")
    assert into["storage"].nbytes() == storage.nbytes()
    for name, tensor in made.items():
        came = into[name]
        assert (came.shape, came.stride(), came.dtype, type(came)) == (
            tensor.shape,
            tensor.stride(),
            tensor.dtype,
            type(tensor),
        )
        assert (came.requires_grad, came.is_leaf, came.device) == (
            tensor.requires_grad,
            True,
            tensor.device,
        )
    with torch.no_grad():
        into["row"].add_(10)
        into["end"].add_(10)
        into["flat"].add_(10)
    assert into["whole"].tolist() == [[0, 1, 2], [13, 14, 15]]
    assert into["weight"].tolist() == [[1, 11], [11, 11]]
    assert into["columns"].tolist() == [[10, 13], [11, 14], [12, 15]]
    assert into["bits"].view(torch.float32).tolist() == [10, 11, 12, 13, 14, 15]


def test_loading_a_model_records_nothing_in_lazy_mode(tmp_path):
    # What records an operator compiles it, and PyTorch imports Dynamo for the first: seconds, on the way over.
    bridge.load()
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).to("hpu")
    path = take({"net": net}, folder=tmp_path).path
    emulator.set_lazy(True)
    try:
        before = emulator.recording()
        load(path, into := {}, compare=False)
        assert emulator.recording() == before
    finally:
        emulator.set_lazy(False)
    assert torch.equal(into["net"][0].weight.cpu(), net[0].weight.cpu())
