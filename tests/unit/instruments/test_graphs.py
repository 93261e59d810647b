import gc
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.errors import LabError
from gaudi_lab.instruments.graphs import hpu_graphs
from gaudi_lab.shapes import Shape


@dataclass
class Answer:
    value: torch.Tensor


def frozen(module):
    """What a user can see of a module that an edit might leave behind."""
    return {name: id(value) for name, value in vars(module).items()}


@pytest.fixture
def lazy(workbench):
    bridge.set_lazy(True)


def test_graphs_are_captured_once_a_shape_and_then_replayed(net, lazy):
    handle = hpu_graphs(net)
    for rows in (3, 3, 2, 3):
        net(torch.randn(rows, 4, device="hpu"))
    assert [(g.shapes, g.replays) for g in handle.graphs] == [
        ((Shape("input", (3, 4)),), 2),
        ((Shape("input", (2, 4)),), 0),
    ]


def test_a_replay_computes_with_the_new_input(net, lazy):
    inputs = [torch.randn(3, 4) for _ in range(3)]
    expected = [net(x.to("hpu")).cpu() for x in inputs]
    with hpu_graphs(net):
        for x, y in zip(inputs, expected, strict=True):
            torch.testing.assert_close(net(x.to("hpu")).cpu(), y)


def test_the_callers_tensors_are_left_alone(net, lazy):
    first, second = torch.zeros(3, 4, device="hpu"), torch.ones(3, 4, device="hpu")
    with hpu_graphs(net):
        net(first)
        net(second)
    assert first.cpu().abs().max() == 0


def test_removing_it_puts_every_attribute_back(net, lazy):
    before, forward = frozen(net), net.forward
    handle = hpu_graphs(net)
    net(torch.randn(3, 4, device="hpu"))
    assert frozen(net) != before
    handle.remove()
    assert frozen(net) == before
    assert net.forward == forward
    assert handle.graphs == ()


def test_a_forward_of_the_users_own_is_put_back_too(net, lazy):
    net.forward = own = lambda x: x + 1
    with hpu_graphs(net):
        torch.testing.assert_close(net(torch.zeros(2, device="hpu")).cpu(), torch.ones(2))
    assert vars(net)["forward"] is own


def test_what_was_wrapped_around_it_later_survives(net, lazy):
    handle = hpu_graphs(net)
    inner = net.forward
    net.forward = around = lambda x: inner(x) * 0
    x = torch.randn(3, 4, device="hpu")
    net(x)
    handle.remove()
    assert net.forward is around
    assert net(x).cpu().abs().max() == 0
    assert handle.graphs == ()


def test_clearing_the_cache_empties_the_account(net, lazy):
    handle = hpu_graphs(net)
    net(torch.randn(3, 4, device="hpu"))
    net.clear_cache()
    assert handle.graphs == ()
    net(torch.randn(3, 4, device="hpu"))
    assert [g.replays for g in handle.graphs] == [0]


def test_beyond_max_graphs_nothing_is_accounted(net, lazy):
    handle = hpu_graphs(net, max_graphs=1)
    for rows in (3, 2, 2):
        net(torch.randn(rows, 4, device="hpu"))
    assert [g.shapes[0].dims for g in handle.graphs] == [(3, 4)]


def test_in_eager_mode_nothing_is_touched(net):
    before = frozen(net)
    with pytest.raises(LabError, match="only in lazy mode"):
        hpu_graphs(net)
    assert frozen(net) == before


def test_a_graph_tells_the_memory_it_took_and_freeing_it_captures_anew(net):
    bridge.set_lazy(True)
    x = torch.ones(3, 4, device="hpu")
    gc.collect()  # what other tests left behind must not be freed while the memory is measured
    with hpu_graphs(net) as handle:
        net(x)
        (graph,) = handle.graphs
        # Its own copy of the input, and the output that every replay writes into.
        assert graph.size >= (3 * 4 + 3 * 2) * 4
        handle.free()
        assert handle.graphs == ()
        net(x)
        assert len(handle.graphs) == 1


def test_the_callers_tensors_stay_his_when_autocast_comes_on(net, lazy):
    """Autocast is part of the bridge's key: the same shapes are captured once more under it."""
    first, second, third = (torch.full((3, 4), x, device="hpu") for x in (0.0, 1.0, 2.0))
    with hpu_graphs(net) as handle:
        net(first)
        with torch.autocast("hpu", torch.bfloat16):
            net(second)
            net(third)
        assert len(handle.graphs) == 2
    assert second.cpu().eq(1).all()


class Doubles(nn.Module):
    """Trebles in evaluation mode."""

    def forward(self, x):
        return x * (2 if self.training else 3)


def test_training_and_evaluation_mode_have_graphs_of_their_own(lazy):
    module, x = Doubles(), torch.ones(1, device="hpu")
    with hpu_graphs(module) as handle:
        for mode in (True, False, True, False):
            assert module.train(mode)(x).item() == (2 if mode else 3)
        assert [graph.replays for graph in handle.graphs] == [1, 1]


def test_numbers_that_share_a_hash_have_graphs_of_their_own(lazy):
    class Times(nn.Module):
        def forward(self, x, number):
            return x * number

    module, x = Times(), torch.ones(1, device="hpu")
    with hpu_graphs(module) as handle:
        assert [module(x, number=n).item() for n in (-1, -1, -2, -2)] == [-1, -1, -2, -2]
        assert [graph.replays for graph in handle.graphs] == [1, 1]


def test_copies_of_a_dataclass_are_the_callers(lazy):
    class Returns(nn.Module):
        def forward(self, x):
            return Answer(x * 2)

    module = Returns()
    with hpu_graphs(module, copies=True) as handle:
        answers = [module(torch.full((1,), x, device="hpu")) for x in (1.0, 2.0, 3.0)]
        assert [graph.replays for graph in handle.graphs] == [2]
    assert [answer.value.item() for answer in answers] == [2, 4, 6]
