"""What runs as bytes: weights apart from all else, and everything as it was."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load
from torch import nn

from gaudi_lab.comparison.methods.packing import pack, unpack


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.first.bias.requires_grad_(False)

    def forward(self, x):
        return self.second(self.first(x))


@pytest.mark.parametrize("device", ["cpu", "hpu"])
def test_weights_are_apart_and_come_back_where_they_were_and_shared(workbench, device):
    model, x = Tied().to(device), torch.ones(2, 4).to(device)
    model.first.weight.mark = "kept"
    packed = pack(model)
    assert len(load(packed.weights)) == 3
    assert model.first.weight.detach().cpu().numpy().tobytes() not in packed.code
    came = unpack(packed)
    assert came.first.weight is came.second.weight
    assert isinstance(came.first.weight, nn.Parameter)
    assert (came.first.weight.device, came.first.bias.requires_grad) == (model.first.weight.device, False)
    assert came.first.weight.mark == "kept"
    assert torch.equal(came(x), model(x))


def test_parameters_that_are_parts_of_some_memory_travel_as_pickle_writes_them(workbench):
    whole = torch.arange(8.0)
    parts = nn.ParameterList([nn.Parameter(whole[:4]), nn.Parameter(whole[4:])])
    assert not load(pack(parts).weights)
    assert [part.tolist() for part in unpack(pack(parts))] == [[0, 1, 2, 3], [4, 5, 6, 7]]
