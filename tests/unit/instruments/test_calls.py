import copy
from contextlib import contextmanager, nullcontext

import pytest
import torch

from gaudi_lab import bridge
from gaudi_lab.instruments.calls import is_compiled, watch
from gaudi_lab.instruments.compiling import compile_in_place
from gaudi_lab.instruments.graphs import hpu_graphs


def noting(log):
    @contextmanager
    def watcher(module, args, kwargs):
        log.append("before")
        yield
        log.append("after")

    return watcher


def test_a_call_is_made_inside_the_watcher_and_the_door_leaves_with_it(net):
    before, log = set(vars(net)), []
    with watch(net, noting(log)):
        net(torch.ones(3, 4, device="hpu"))
        assert not is_compiled(net)
    assert log == ["before", "after"]
    assert set(vars(net)) == before


def test_a_watch_outlives_compiling_in_either_order(net):
    x, before, log = torch.ones(3, 4, device="hpu"), set(vars(net)), []
    watching = watch(net, noting(log))
    compiled = compile_in_place(net)
    assert is_compiled(net)
    net(x)
    watching.remove()
    assert is_compiled(net)
    watching = watch(net, noting(log))
    compiled.remove()
    assert not is_compiled(net)
    net(x)
    assert log == ["before", "after"] * 2
    watching.remove()
    assert set(vars(net)) == before


def test_watching_compiles_and_captures_nothing_more(net):
    x = torch.ones(3, 4, device="hpu")
    for lazy, instrument in ((False, compile_in_place), (True, hpu_graphs)):
        bridge.set_lazy(lazy)
        with instrument(net):
            for _ in range(2):
                net(x)
            bridge.settle()
            counted = bridge.counters()
            with watch(net, noting([])):
                net(x)
            net(x)
            bridge.settle()
            assert bridge.counters().since(counted).compilations == 0


def test_a_call_that_raises_is_seen_by_the_watcher(net):
    seen = []

    @contextmanager
    def watcher(module, args, kwargs):
        try:
            yield
        except TypeError as error:
            seen.append(error)
            raise

    with watch(net, watcher), pytest.raises(TypeError) as raised:
        net()
    assert seen == [raised.value]


def test_a_model_can_be_pickled_while_watched(net):
    with watch(net, noting([])):
        assert not is_compiled(copy.deepcopy(net))


def test_who_asks_whether_a_watched_module_is_compiled_hears_no(net):
    with watch(net, lambda *_: nullcontext()):
        assert not is_compiled(net)
        assert not net._compiled_call_impl  # as peft asks
