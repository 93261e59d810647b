"""A traced graph, moved to the host."""

from __future__ import annotations

import torch
from torch import fx

from gaudi_lab.emulator.device.tensor import HpuTensor
from gaudi_lab.emulator.traced.host_graph import to_host


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.register_buffer("bias", torch.full((3,), 2.0))

    def forward(self, x):
        made = torch.zeros(3, device="hpu") + torch.ones(3, device=torch.device("hpu", 0))
        return x.to("hpu:0") * self.weight + self.bias + made


def test_devices_parameters_and_buffers_are_the_hosts():
    graph = fx.symbolic_trace(Model().to("hpu"))
    graph.constant = torch.ones(3, device="hpu")
    to_host(graph)
    held = [*graph.parameters(), *graph.buffers(), graph.constant]
    assert not any(isinstance(x, HpuTensor) for x in held)
    assert "hpu" not in graph.code
    assert graph(torch.ones(3)).tolist() == [4.0] * 3


def test_a_graph_on_the_host_stays_as_it_is():
    graph = fx.symbolic_trace(torch.nn.Linear(2, 2))
    code = graph.code
    to_host(graph)
    assert graph.code == code
