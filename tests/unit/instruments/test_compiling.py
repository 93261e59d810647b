import pytest
import torch

from gaudi_lab import bridge
from gaudi_lab.errors import LabError, LabValueError
from gaudi_lab.instruments.attention import fused_sdpa
from gaudi_lab.instruments.calls import is_compiled
from gaudi_lab.instruments.compiling import compile_arguments, compile_in_place
from gaudi_lab.settings import SdpaOptions


def test_calls_are_compiled_once_a_shape_by_the_bridge(net):
    x, y = torch.randn(3, 4), torch.randn(2, 4)
    expected = [net(t.to("hpu")).cpu() for t in (x, y)]
    before = bridge.counters()
    costs = []
    with compile_in_place(net):
        for t, answer in ((x, expected[0]), (x, expected[0]), (y, expected[1]), (x, expected[0])):
            torch.testing.assert_close(net(t.to("hpu")).cpu(), answer, atol=1e-5, rtol=0)
            bridge.settle()
            costs.append(bridge.counters().since(before).compilations)
    assert costs[0] > 0
    assert costs[1] == costs[0]
    assert costs[2] > costs[1]
    assert costs[3] == costs[2]


def test_a_model_with_fused_attention_is_one_graph(bert):
    ids = torch.arange(12).reshape(2, 6).to("hpu")
    before = bridge.counters()
    with fused_sdpa(bert, SdpaOptions()), compile_in_place(bert):
        bert(ids)
        bridge.settle()
    assert bridge.counters().since(before).compilations == 1


def test_hooks_run_inside(net):
    net.register_forward_pre_hook(lambda module, args: (args[0] * 0,))
    expected = net(torch.ones(3, 4).to("hpu")).cpu()
    with compile_in_place(net):
        torch.testing.assert_close(net(torch.ones(3, 4).to("hpu")).cpu(), expected, atol=1e-5, rtol=0)


def test_removing_it_leaves_no_trace(net):
    before, forward = set(vars(net)), net.forward
    with compile_in_place(net):
        assert is_compiled(net)
        assert net.forward == forward
    assert set(vars(net)) == before
    assert not is_compiled(net)


def test_a_compile_of_the_users_own_is_put_back(net):
    net.compile(backend="eager")
    own = net._compiled_call_impl
    with compile_in_place(net):
        assert net._compiled_call_impl is not own
    assert net._compiled_call_impl is own


def test_a_later_compile_of_the_users_own_is_not_removed(net):
    handle = compile_in_place(net)
    net.compile(backend="eager")
    own = net._compiled_call_impl
    handle.remove()
    assert net._compiled_call_impl is own


def test_in_lazy_mode_it_is_refused_with_the_line_to_run(net):
    bridge.set_lazy(True)
    with pytest.raises(LabError) as caught:
        compile_in_place(net)
    assert caught.value.for_notebook().endswith("Run: %gaudi_mode eager")
    assert not is_compiled(net)


@pytest.mark.parametrize(("dynamic", "graphs"), [(None, 4), (False, 4), (True, 1), ("auto", 2)])
def test_sizes_are_fixed_or_symbols_as_asked(net, dynamic, graphs):
    torch.compiler.reset()  # what has changed in an earlier test would be a symbol at once
    inputs = [torch.randn(size, 4).to("hpu") for size in (2, 3, 5, 7)]
    expected = [net(x).cpu() for x in inputs]
    before = bridge.counters()
    with compile_in_place(net, **compile_arguments(dynamic, None)):
        for x, answer in zip(inputs, expected, strict=True):
            torch.testing.assert_close(net(x).cpu(), answer, atol=1e-5, rtol=0)
    bridge.settle()
    assert bridge.counters().since(before).compilations == graphs


def test_options_reach_the_backend_and_unknown_ones_are_refused_before_the_first_call(net, monkeypatch):
    from habana_frameworks.torch.dynamo.compile_backend import config

    from gaudi_lab.emulator.traced import dynamo

    seen, compile_graph = [], dynamo.compile_graph

    def look(*given):
        seen.append(config.force_static_compile)
        return compile_graph(*given)

    monkeypatch.setattr(dynamo, "compile_graph", look)
    with compile_in_place(net, **compile_arguments(None, (("force_static_compile", True),))):
        net(torch.ones(2, 4).to("hpu"))
    assert seen == [True]
    with pytest.raises(LabValueError, match="no option force_static_compiled") as refused:
        compile_arguments(None, (("force_static_compiled", True),))
    assert refused.value.for_notebook().endswith("--option force_static_compile=True")
