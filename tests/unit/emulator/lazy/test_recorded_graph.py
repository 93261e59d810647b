"""A program as a graph without writes: what it returns, and what it leaves in its inputs."""

import torch

from gaudi_lab.emulator.lazy import recorded_graph, replay
from gaudi_lab.emulator.lazy.program import Meta, Slot, Step

aten = torch.ops.aten
ROW, WHOLE = Meta(torch.Size([2]), (1,), 0, torch.float32), Meta(torch.Size([3, 2]), (2, 1), 0, torch.float32)


def make_program():
    """Write into a row of the first input through a view, and into a result."""
    return [
        Step(None, (), {}, None, 0),
        Step(None, (), {}, None, 1),
        Step(aten.select.int, [Slot(0), 0, 1], {}, Meta(ROW.size, ROW.stride, 2, ROW.dtype), 2),
        Step(aten.add_.Tensor, [Slot(2), Slot(1)], {}, None, 3),
        Step(aten.mul.Tensor, [Slot(0), 2.0], {}, WHOLE, 3),
        Step(aten.relu_.default, [Slot(3)], {}, None, 4),
    ]


def test_a_program_returns_what_it_writes():
    inputs = [torch.randn(3, 2), torch.randn(2)]
    pure = recorded_graph.without_writes(make_program(), (3,), inputs)
    assert pure.updated == (0,)
    before = [x.clone() for x in inputs]
    result, left = pure.module(*inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True)), "nothing was written"
    (expected,) = replay.interpret(make_program(), (3,), inputs)
    assert torch.equal(result, expected)
    assert torch.equal(left, inputs[0])


def test_what_a_program_may_write_into_is_copied_before():
    hosts = [torch.randn(2, 3).t(), torch.randn(2)]
    assert recorded_graph.written_inputs(make_program()) == [0]
    kept = recorded_graph.keep_written(make_program(), hosts)
    assert kept[1] is hosts[1]
    assert kept[0].stride() == hosts[0].stride()
    assert torch.equal(kept[0], hosts[0])
    assert kept[0].data_ptr() != hosts[0].data_ptr()


def test_operators_are_taken_apart_where_asked():
    steps = [
        Step(None, (), {}, None, 0),
        Step(aten.isin.Tensor_Tensor, [Slot(0), Slot(0)], {}, Meta(ROW.size, (1,), 0, torch.bool), 1),
    ]
    whole = recorded_graph.without_writes(steps, (1,), [torch.ones(2)])
    apart = recorded_graph.without_writes(steps, (1,), [torch.ones(2)], {"aten::isin"})
    found = [[node.target for node in graph.module.graph.nodes] for graph in (whole, apart)]
    assert aten.isin.Tensor_Tensor in found[0]
    assert aten.isin.Tensor_Tensor not in found[1]
    assert apart.module(torch.ones(2))[0].tolist() == [True, True]
