import copy
import gc
import inspect
import pickle
import threading
import weakref
from dataclasses import dataclass

import torch
from torch import nn

from gaudi_lab.instruments.fused_operators.class_layers import StandIns, class_before, layers_of


class Doubling(nn.Module):
    """A module that doubles."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * 2 * self.weight


@dataclass(frozen=True)
class Adding:
    number: float
    operator: str = "adding"

    def around(self, forward, stand_ins):
        note = stand_ins.note_for(self.operator)

        def added(module, *args):
            if args[0].numel() == 0:
                note("empty")
                return forward(module, *args)
            return forward(module, *args) + self.number

        return added


X = torch.ones(3)


def test_layers_come_off_in_any_order_and_the_class_is_the_one_it_was():
    module, stand_ins = Doubling(), StandIns()
    before = dict(vars(module))
    one, ten = stand_ins.put(module, Adding(1)), stand_ins.put(module, Adding(10))
    assert module(X).tolist() == [13, 13, 13]
    assert len(layers_of(module)) == 2
    assert class_before(module) is Doubling
    assert isinstance(module, Doubling)
    assert type(module).__name__ == "Doubling"
    one.remove()
    assert module(X).tolist() == [12, 12, 12]
    ten.remove()
    assert type(module) is Doubling
    assert dict(vars(module)) == before
    assert module(X).tolist() == [2, 2, 2]


def test_equal_modules_share_a_class_and_switching_on_again_brings_it_back():
    stand_ins = StandIns()
    one, other = Doubling(), Doubling()
    with stand_ins.put(one, Adding(1)), stand_ins.put(other, Adding(1)):
        assert type(one) is type(other)
        made = type(one)
    with stand_ins.put(one, Adding(1)):
        assert type(one) is made
        assert type(other) is Doubling


def test_a_copy_and_a_pickle_have_the_class_of_before():
    module = Doubling()
    with StandIns().put(module, Adding(1)):
        copied = copy.deepcopy(module)
    assert type(copied) is Doubling
    assert torch.equal(copied.weight, module.weight)


def test_what_is_pickled_can_be_read_where_the_layer_is_not_known():
    import collections

    linear = nn.Linear(2, 2)
    with StandIns().put(linear, Adding(1)):
        text = pickle.dumps(linear)
        assert type(linear) is not nn.Linear
    read = pickle.loads(text)
    assert type(read) is nn.Linear
    assert isinstance(read.state_dict(), collections.OrderedDict)


def test_the_forward_takes_what_it_took():
    module, signature = Doubling(), inspect.signature(Doubling.forward)
    with StandIns().put(module, Adding(1)):
        assert inspect.signature(type(module).forward) == signature
        assert list(inspect.signature(module.forward).parameters) == ["x"]
    assert not hasattr(Doubling.forward, "__signature__")


def test_hooks_run_around_it():
    module, seen = Doubling(), []
    module.register_forward_hook(lambda m, args, out: seen.append(out.tolist()))
    with StandIns().put(module, Adding(1)):
        module(X)
    assert seen == [[3, 3, 3]]


def test_calls_that_do_not_suit_are_counted_with_the_reason():
    module, stand_ins = Doubling(), StandIns()
    with stand_ins.put(module, Adding(1)):
        module(torch.ones(0, 3))
        module(X)
    assert dict(stand_ins.plain_calls) == {("adding", "empty"): 1}


def test_under_torch_compile_it_is_compiled_anew_and_noted_while_it_is_traced():
    module, stand_ins = Doubling(), StandIns()
    compiled = torch.compile(module, backend="eager", fullgraph=True, dynamic=False)
    assert compiled(X).tolist() == [2, 2, 2]
    with stand_ins.put(module, Adding(1)):
        assert compiled(X).tolist() == [3, 3, 3]
        compiled(torch.ones(0, 3))
    assert compiled(X).tolist() == [2, 2, 2]
    assert dict(stand_ins.plain_calls) == {("adding", "empty"): 1}


def test_nothing_is_kept_alive():
    module, stand_ins = Doubling(), StandIns()
    stand_ins.put(module, Adding(1)).remove()
    with stand_ins.put(module, Adding(2)):
        seen = weakref.ref(module), weakref.ref(stand_ins)
    del module, stand_ins
    gc.collect()
    assert [x() for x in seen] == [None, None]


def test_another_thread_finds_the_same_module():
    module, found = Doubling(), []
    with StandIns().put(module, Adding(1)):
        thread = threading.Thread(target=lambda: found.append(module(X).tolist()))
        thread.start()
        thread.join()
    assert found == [[3, 3, 3]]
