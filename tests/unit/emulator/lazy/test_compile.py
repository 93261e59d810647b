"""What a program has been compiled to reads its parameters as they are, with every compiler."""

from __future__ import annotations

import copy
import importlib.util

import pytest
import torch
from torch import nn

from gaudi_lab.emulator.lazy import agreement, compilers
from gaudi_lab.emulator.lazy.record import tape, trie

_NEEDS_OPENVINO = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs OpenVINO")
_NEEDS_CPP = pytest.mark.skipif(not compilers.has_cpp_compiler(), reason="needs a C++ compiler")


def write_in_place(net):
    net.weight.mul_(2).add_(0.25)


def load(net):
    net.load_state_dict({name: x + 0.25 for name, x in net.state_dict().items()})


def write_through_data(net):
    net.weight.data.add_(0.25)


def take_a_step(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()


@pytest.fixture(
    params=[
        "replay",
        pytest.param("inductor", marks=_NEEDS_CPP),
        pytest.param("openvino", marks=_NEEDS_OPENVINO),
    ]
)
def compiler(request, lazy, monkeypatch):
    """Each compiler in turn, which has seen no program yet."""
    monkeypatch.setenv("GAUDI_LAB_COMPILER", request.param)
    monkeypatch.setattr(compilers, "passed_over", [])
    monkeypatch.setattr(agreement, "disagreements", [])
    trie.clear()
    tape.restart()
    yield request.param
    trie.clear()
    tape.restart()


@pytest.mark.parametrize("write", [write_in_place, load, write_through_data, take_a_step])
@torch.no_grad()
def test_a_parameter_written_after_the_capture_shows_in_the_next_replay(write, compiler):
    from habana_frameworks.torch.hpu import wrap_in_hpu_graph

    torch.manual_seed(0)
    net, x = nn.Linear(5, 3).eval(), torch.randn(4, 5)
    on_hpu = copy.deepcopy(net).to("hpu")
    captured = wrap_in_hpu_graph(on_hpu)
    for _ in range(2):
        torch.testing.assert_close(captured(x.to("hpu")).cpu(), net(x))
    if compiler != "replay":
        assert not compilers.passed_over, "the compiler has it"
        assert not agreement.disagreements
    for _ in range(2):
        before = net(x)
        write(net)
        write(on_hpu)
        assert not torch.allclose(net(x), before)
        torch.testing.assert_close(captured(x.to("hpu")).cpu(), net(x))
