"""The ways in which the device runs a function, and what is left of them afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.instruments import operator_ways


def double(x):
    return x * 2


@pytest.mark.parametrize("lazy", [False, True])
def test_each_way_computes_and_leaves_the_mode(workbench, lazy):
    x = torch.randn(3, 2)
    with bridge.in_mode(lazy=lazy):
        found = operator_ways.ways()
        assert [way.name for way in found] == ["eager", "lazy", "compile", "HPU graph"]
        for way in found:
            assert not way.why_not
            out, (after,) = way.run(double, (x,))
            assert torch.equal(out, x * 2)
            assert torch.equal(after, x)
            assert bridge.is_lazy() == lazy


def test_who_chose_the_mode_stays_as_it_was(undecided):
    with bridge.in_mode(lazy=True):
        assert bridge.is_lazy()
    assert not bridge.mode_chosen()


def test_the_mode_comes_back_after_an_error(workbench):
    def fail(x):
        raise ValueError("mine")

    for way in operator_ways.ways():
        with pytest.raises(Exception, match="mine"):
            way.run(fail, (torch.ones(1),))
        assert not bridge.is_lazy()
    with bridge.in_mode(lazy=True):
        assert not bridge.capturing()


def test_a_bridge_that_keeps_its_mode_goes_half_of_the_ways(workbench, monkeypatch):
    monkeypatch.setattr(bridge, "keeps_mode", lambda: True)
    reasons = {way.name: way.why_not for way in operator_ways.ways()}
    assert not reasons["eager"]
    assert not reasons["compile"]
    assert "loaded in eager mode, which it keeps" in reasons["lazy"]
    assert "loaded in eager mode, which it keeps" in reasons["HPU graph"]
    with pytest.raises(ValueError, match="lazy mode is asked for"), bridge.in_mode(lazy=True):
        pass


def test_a_graph_that_holds_the_values_of_its_capture_is_seen(workbench):
    def first_value(x):
        return x * 0 + x.cpu()[0].item()

    *_, graph = operator_ways.ways()
    x = torch.arange(1.0, 4.0)
    out, _ = graph.run(first_value, (x,))
    assert out.tolist() == [
        3.0,
        3.0,
        3.0,
    ]  # it was captured with other values, the same ones in another order


def test_operators_without_a_kernel_have_their_line(workbench):
    def body(x):
        y = x + 1
        return torch.special.bessel_j0(y)

    (found,) = operator_ways.without_kernel(body, (torch.ones(2),))
    assert found.name == "aten::special_bessel_j0"
    assert found.line.number == body.__code__.co_firstlineno + 2
    assert operator_ways.without_kernel(double, (torch.ones(2),)) == ()


def test_one_seed_puts_both_generators_back(workbench):
    host, device = torch.get_rng_state(), bridge.random_state()
    drawn = []
    for _ in range(2):
        with operator_ways.one_seed():
            drawn.append(torch.rand(2))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), host)
    assert torch.equal(bridge.random_state(), device)


def test_graphs_are_dropped_wherever_they_are(workbench):
    dropped = []
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    vars(model[0])["clear_cache"] = lambda: dropped.append("inner")
    operator_ways.drop_graphs(model)
    assert dropped == ["inner"]


@pytest.mark.parametrize(
    ("version", "lazy", "build"),
    [
        ("2.9.0+git12ab", True, "lazy-fork"),
        ("2.9.0+hpu.1", False, "eager-fork"),
        ("2.11.0", False, "eager-upstream"),
        ("2.11.0+cpu", False, "eager-upstream"),
    ],
)
def test_which_build_a_real_bridge_is(workbench, monkeypatch, version, lazy, build):
    assert bridge.build() == "emulated"
    monkeypatch.setattr(bridge.emulator, "active", lambda: False)
    monkeypatch.setattr(bridge, "is_lazy", lambda: lazy)
    monkeypatch.setattr(torch, "__version__", version)
    assert bridge.build() == build
