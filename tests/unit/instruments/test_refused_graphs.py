"""What a graph cannot hold runs without one: right results, the caller's objects as after a plain call, and why."""

import copy
import random
from collections import UserDict, deque
from dataclasses import dataclass
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from gaudi_lab import bridge
from gaudi_lab.instruments.graphs import hpu_graphs

CALLS = 5


@pytest.fixture
def lazy(workbench):
    bridge.set_lazy(True)


class Grows:
    """A cache that gets a new tensor with each call."""

    def __init__(self):
        self.keys = None


class Static:
    """A cache that is written in place."""

    def __init__(self):
        self.keys = torch.zeros(3, device="hpu")


class Counts(Static):
    """A cache that also counts in Python."""

    def __init__(self):
        super().__init__()
        self.seen = 0


class Slotted:
    """A growing cache without a dictionary."""

    __slots__ = ("__weakref__", "keys")

    def __init__(self):
        self.keys = None


@dataclass
class Fields:
    """A growing cache that is a dataclass."""

    keys: Any = None


class Grow(nn.Module):
    def forward(self, x, cache):
        cache.keys = x if cache.keys is None else cache.keys + x
        return cache.keys * 2


class WriteInPlace(nn.Module):
    def forward(self, x, cache):
        cache.keys.add_(x)
        return cache.keys * 2


class Count(nn.Module):
    def forward(self, x, cache):
        cache.seen += 1
        cache.keys.add_(x)
        return cache.keys * cache.seen


class SetsAttribute(nn.Module):
    total = None

    def forward(self, x):
        self.total = x if self.total is None else self.total + x
        return self.total * 2


class CountsCalls(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


class Remembers(nn.Module):
    """Appends to a list of its own."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return sum(self.seen)


class KeepsInSlots(nn.Module):
    """Holds on to what it was given, in an object without a dictionary."""

    def __init__(self):
        super().__init__()
        self.cache = Slotted()

    def forward(self, x):
        self.cache.keys = x
        return x * 2


class KeepsLast(nn.Module):
    """Appends to a deque of its own, which lets go of the oldest."""

    def __init__(self):
        super().__init__()
        self.seen = deque(maxlen=2)

    def forward(self, x):
        self.seen.append(x)
        return sum(self.seen)


class CountsIn(nn.Module):
    """Counts in something that is written in place."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, x):
        self.count[0] += 1
        return x * int(self.count[0])


class ReboundBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        self.total = self.total + x
        return self.total * 2


class WrittenBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        self.total.add_(x)
        self.total[1:].mul_(0.5)
        return self.total * 2


class BranchesOnItem(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum().item() > 0 else x - 1


class BranchesOnTruth(nn.Module):
    def forward(self, x):
        if (x > 0).all():
            return x * 2
        return x - 1


class ToHost(nn.Module):
    def forward(self, x):
        return x + x.cpu().max().to("hpu")


class Compares(nn.Module):
    def forward(self, x):
        return x * (3 if torch.equal(x, x.abs()) else 2)


class RandomHere(nn.Module):
    def forward(self, x):
        return x + torch.rand(3).to("hpu")


class RandomPython(nn.Module):
    def forward(self, x):
        return x * random.random()


class RandomOnDevice(nn.Module):
    def forward(self, x):
        return x + torch.rand(3, device="hpu") + nn.functional.dropout(x, 0.5)


class WritesArgument(nn.Module):
    def forward(self, x):
        x[1:].add_(1)
        return x * 2


class Appends(nn.Module):
    def forward(self, x, seen):
        seen["all"].append(x)
        seen["last"] = x
        return x + len(seen["all"])


class FillsOnce(nn.Module):
    """Makes a constant at its first call."""

    ones = None

    def forward(self, x):
        if self.ones is None:
            self.ones = torch.ones(3, device="hpu")
        return x + self.ones


def x_of(call):
    return torch.tensor([1.0, -2.0, 3.0]) * (call + 1) * (-1) ** (call // 2)


def run(module, make, graphs, **options):
    """Call `module` some times; return what it gave, what is left on it and its argument, and the handle."""
    torch.manual_seed(0)
    random.seed(0)
    module = copy.deepcopy(module).eval().to("hpu")
    argument = make()
    extra = [] if argument is None else [argument]
    handle = hpu_graphs(module, **options) if graphs else None
    given = []
    results = []
    with torch.no_grad():
        for call in range(CALLS):
            x = x_of(call).to("hpu")
            given.append(x)
            results.append(module(x, *extra).cpu().clone())
    left = [plain(vars(module)), plain(argument)]
    return results, left, [x.cpu() for x in given], handle


def plain(value):
    """Return what one can see of a value, in lists and numbers."""
    if isinstance(value, torch.Tensor):
        return value.cpu().tolist()
    if isinstance(value, dict):
        hidden = ("forward", "clear_cache", "clear_inputs")
        return {name: plain(x) for name, x in value.items() if name not in hidden and not callable(x)}
    if isinstance(value, list):
        return [plain(x) for x in value]
    if hasattr(value, "__slots__"):
        return plain(value.keys)
    return plain(vars(value)) if hasattr(value, "__dict__") and not callable(value) else str(value)


def nothing():
    return None


REFUSED = {
    "a growing cache": (Grow(), Grows, "argument-replaced", "cache.keys"),
    "a growing cache with slots": (Grow(), Slotted, "argument-replaced", "cache.keys"),
    "a growing cache that is a dataclass": (Grow(), Fields, "argument-state", "cache.keys"),
    "a counter on a cache": (Count(), Counts, "argument-state", "cache.seen"),
    "a tensor attribute": (SetsAttribute(), nothing, "attribute-written", "total"),
    "a number attribute": (CountsCalls(), nothing, "attribute-written", "calls"),
    "a list attribute": (Remembers(), nothing, "attribute-written", "seen.1"),
    "a slot of an attribute": (KeepsInSlots(), nothing, "attribute-written", "cache.keys"),
    "a deque attribute": (KeepsLast(), nothing, "attribute-written", "seen.1"),
    "an array written in place": (CountsIn(numpy.zeros(1)), nothing, "attribute-written", "count"),
    "bytes written in place": (CountsIn(bytearray(1)), nothing, "attribute-written", "count"),
    "a buffer set anew": (ReboundBuffer(), nothing, "attribute-written", "total"),
    "item": (BranchesOnItem(), nothing, "reads-value", "item"),
    "a truth value": (BranchesOnTruth(), nothing, "reads-value", "item"),
    "to the host": (ToHost(), nothing, "reads-value", "to"),
    "equal": (Compares(), nothing, "reads-value", "equal"),
    "random numbers of the host": (RandomHere(), nothing, "random-on-host", "rand"),
    "random numbers of Python": (RandomPython(), nothing, "random-in-python", "random"),
    "a written argument": (WritesArgument(), nothing, "argument-written", "x"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_call_that_a_graph_cannot_hold_runs_as_without_graphs_and_says_so_once(lazy, case):
    module, make, code, name = REFUSED[case]
    expected = run(module, make, graphs=False)
    with pytest.warns(UserWarning, match="runs without a graph") as told:
        results, left, given, handle = run(module, make, graphs=True)
    for result, wanted in zip(results, expected[0], strict=True):
        torch.testing.assert_close(result, wanted, rtol=0, atol=0)
    assert left == expected[1]
    assert [x.tolist() for x in given] == [x.tolist() for x in expected[2]]
    assert handle.graphs == ()
    assert [(reason.code, reason.name) for reason in handle.refusals] == [(code, name)]
    assert handle.refusals[0].text
    assert handle.refusals[0].remedy
    assert len(told) == 1
    handle.remove()


def test_a_list_that_the_call_fills_is_the_callers(lazy):
    module, seen = Appends(), {"all": [], "last": None}
    x = torch.ones(3, device="hpu")
    with hpu_graphs(module) as handle:
        with pytest.warns(UserWarning, match="belongs to its caller"):
            assert module(x, seen).tolist() == [2.0] * 3
        assert module(x, seen).tolist() == [3.0] * 3
        assert [y is x for y in seen["all"]] == [True, True]
        assert seen["last"] is x
        assert handle.graphs == ()
        assert [reason.code for reason in handle.refusals] == ["argument-state"]


def test_what_the_call_sets_on_a_dataclass_is_on_the_callers(lazy):
    class Sets(nn.Module):
        def forward(self, x, batch):
            batch.tokens = batch.tokens + x
            batch.last = x
            return batch.tokens * 2

    module, batch = Sets(), Batch(torch.zeros(3, device="hpu"))
    x = torch.ones(3, device="hpu")
    with hpu_graphs(module), pytest.warns(UserWarning, match="belongs to its caller"):
        assert module(x, batch).tolist() == [2.0] * 3
    assert batch.tokens.tolist() == [1.0] * 3
    assert batch.last is x


def test_an_argument_is_not_taken_for_one_whose_name_begins_its_own(lazy):
    class Notes(nn.Module):
        def forward(self, x, state, states):
            states["last"] = x
            return x + state.keys

    module, state, states = Notes(), Static(), {}

    def noted(x):
        return module(x, state, states).tolist() == x.tolist() and states["last"] is x

    with hpu_graphs(module) as handle, pytest.warns(UserWarning, match="belongs to its caller"):
        assert all(noted(x_of(call).to("hpu")) for call in range(CALLS))
    assert [(reason.code, reason.name) for reason in handle.refusals] == [("argument-state", "states.last")]


HELD = {
    "a cache written in place": (WriteInPlace(), Static, 3),
    "a buffer written in place": (WrittenBuffer(), nothing, 4),
    "random numbers of the device": (RandomOnDevice(), nothing, 4),
    # The call that fills it is plain in effect, and the second captures.
    "a constant made at the first call": (FillsOnce(), nothing, 3),
}


@pytest.mark.parametrize("verify", [False, True], ids=["", "verified"])
@pytest.mark.parametrize("case", HELD)
def test_what_a_replay_does_again_runs_as_a_graph(lazy, case, verify):
    module, make, replays = HELD[case]
    results, left, _, _ = run(module, make, graphs=False)
    found, left_by_graphs, _, handle = run(module, make, graphs=True, verify=verify)
    for result, wanted in zip(found, results, strict=True):
        torch.testing.assert_close(result, wanted, rtol=0, atol=0)
    assert left_by_graphs == left
    assert [graph.replays for graph in handle.graphs] == [replays]
    assert handle.refusals == ()
    handle.remove()


@pytest.mark.parametrize("option", ["disable_tensor_cache", "dry_run"])
@pytest.mark.parametrize("case", ["a growing cache", "a tensor attribute", "item", "a written argument"])
def test_where_a_capture_computes_nothing_the_first_calls_are_right_too(lazy, case, option):
    module, make, code, _ = REFUSED[case]
    expected = run(module, make, graphs=False)
    with pytest.warns(UserWarning, match="runs without a graph"):
        results, left, given, handle = run(module, make, graphs=True, **{option: True})
    assert [x.tolist() for x in results] == [x.tolist() for x in expected[0]]
    assert left == expected[1]
    assert [x.tolist() for x in given] == [x.tolist() for x in expected[2]]
    assert [reason.code for reason in handle.refusals] == [code]
    handle.remove()


@pytest.mark.parametrize("option", ["disable_tensor_cache", "dry_run"])
def test_a_graph_without_computing_at_the_capture_is_right_too(lazy, option):
    results, left, _, _ = run(WrittenBuffer(), nothing, graphs=False)
    found, left_by_graphs, _, handle = run(WrittenBuffer(), nothing, graphs=True, **{option: True})
    assert [x.tolist() for x in found] == [x.tolist() for x in results]
    assert left_by_graphs == left
    assert [graph.replays for graph in handle.graphs] == [3]
    handle.remove()


def test_the_line_that_reads_a_value_is_named(lazy):
    module = BranchesOnItem()
    with hpu_graphs(module) as handle, pytest.warns(UserWarning, match="reads a value"):
        module(torch.ones(3, device="hpu"))
    (reason,) = handle.refusals
    line = BranchesOnItem.forward.__code__.co_firstlineno + 1
    assert reason.line == f"{__file__}:{line}"
    assert reason.line in reason.text


def test_a_call_like_a_refused_one_is_not_captured_again(lazy, monkeypatch):
    """A growing cache is another object in each call of `generate`."""
    module = Grow()
    x = torch.ones(3, device="hpu")
    with hpu_graphs(module) as handle:
        cache = Grows()
        module(x, cache)
        with pytest.warns(UserWarning, match="another tensor"):
            module(x, cache)
        monkeypatch.setattr("gaudi_lab.instruments.graphs.WatchedCall", None)
        cache = Grows()
        cache.keys = torch.ones(3, device="hpu")
        assert [module(x, cache).tolist() for _ in range(3)] == [[4.0] * 3, [6.0] * 3, [8.0] * 3]
        assert len(handle.refusals) == 1


def test_a_cache_that_gets_other_tensors_between_calls_is_noticed(lazy):
    """As beam search does it, when it puts the beams into another order."""
    module, cache = WriteInPlace(), Static()
    x = torch.ones(3, device="hpu")
    with hpu_graphs(module) as handle:
        for _ in range(3):
            module(x, cache)
        assert [graph.replays for graph in handle.graphs] == [1]
        cache.keys = torch.full((3,), 10.0, device="hpu")
        with pytest.warns(UserWarning, match=r"cache\.keys"):
            assert module(x, cache).tolist() == [22.0] * 3
        assert cache.keys.tolist() == [11.0] * 3
        assert module(x, cache).tolist() == [24.0] * 3
        assert handle.graphs == ()
        assert [reason.code for reason in handle.refusals] == ["object-changed-between-calls"]


def test_graphs_of_caches_that_are_gone_are_let_go(lazy):
    module, x = WriteInPlace(), torch.ones(3, device="hpu")
    with hpu_graphs(module) as handle:
        for _ in range(5):
            cache = Static()
            assert [module(x, cache).tolist()[0] for _ in range(4)] == [2.0, 4.0, 6.0, 8.0]
        assert len(handle.graphs) == 2
        assert handle.refusals == ()


def test_an_argument_on_the_host_is_not_what_a_replay_reads(lazy):
    class Moves(nn.Module):
        def forward(self, x, step):
            return x * step.to("hpu")

    module, x = Moves(), torch.ones(3, device="hpu")
    with hpu_graphs(module) as handle, pytest.warns(UserWarning, match="step is on the host"):
        assert [module(x, torch.full((3,), float(n))).tolist()[0] for n in range(4)] == [0.0, 1.0, 2.0, 3.0]
    assert [reason.code for reason in handle.refusals] == ["argument-on-host"]


def test_what_the_host_reads_of_its_own_tensor_is_what_a_replay_has(lazy):
    class Splits(nn.Module):
        def forward(self, x, lengths):
            return torch.stack([part.sum() for part in x.split(lengths.tolist())])

    module, x = Splits(), torch.tensor([1.0, 2.0, 3.0], device="hpu")
    with hpu_graphs(module) as handle:
        assert [module(x, torch.tensor([1, 2])).tolist() for _ in range(3)] == [[1, 5]] * 3
        assert [graph.replays for graph in handle.graphs] == [2]
        with pytest.warns(UserWarning, match="lengths is on the host"):
            assert module(x, torch.tensor([2, 1])).tolist() == [3, 3]
        assert module(x, torch.tensor([1, 2])).tolist() == [1, 5]
        assert [reason.code for reason in handle.refusals] == ["argument-on-host"]


def test_an_array_of_an_object_that_is_written_between_calls_is_noticed(lazy):
    class Scales(nn.Module):
        def forward(self, x, cache):
            return x * int(cache.count[0])

    class Counted:
        count = None

    module, cache, x = Scales(), Counted(), torch.ones(1, device="hpu")
    cache.count = numpy.ones(1)

    def scaled(number):
        cache.count[0] = number
        return module(x, cache).item()

    with hpu_graphs(module) as handle, pytest.warns(UserWarning, match="other tensors or values"):
        assert [scaled(number) for number in (1, 1, 1, 2, 3)] == [1, 1, 1, 2, 3]
    assert [reason.name for reason in handle.refusals] == ["cache.count"]


def test_one_tensor_passed_twice_is_one_tensor(lazy):
    class Writes(nn.Module):
        def forward(self, x, y):
            x.add_(1)
            return x + y

    module, x = Writes(), torch.zeros(3, device="hpu")
    with hpu_graphs(module), pytest.warns(UserWarning, match="writes into its argument"):
        assert [module(x, x).tolist()[0] for _ in range(3)] == [2.0, 4.0, 6.0]


def test_an_argument_that_has_no_hash_is_refused(lazy):
    class NoHash:
        __hash__ = None

        def __eq__(self, other):
            return self is other

    class Ignores(nn.Module):
        def forward(self, x, what):
            return x + 1

    module = Ignores()
    with hpu_graphs(module) as handle, pytest.warns(UserWarning, match="has no hash"):
        assert module(torch.zeros(3, device="hpu"), NoHash()).tolist() == [1.0] * 3
    assert [reason.code for reason in handle.refusals] == ["argument-unhashable"]


@dataclass
class Batch:
    tokens: torch.Tensor


@pytest.mark.parametrize(
    "container",
    [lambda x: UserDict(tokens=x), Batch, lambda x: {"tokens": x}],
    ids=["user dict", "dataclass", "dict"],
)
def test_the_callers_containers_keep_the_callers_tensors(lazy, container):
    class Takes(nn.Module):
        def forward(self, batch):
            return (batch.tokens if isinstance(batch, Batch) else batch["tokens"]) + 1

    module = Takes()
    first, second = (container(torch.full((3,), x, device="hpu")) for x in (0.0, 5.0))
    with hpu_graphs(module):
        assert module(first).tolist() == [1.0] * 3
        assert module(second).tolist() == [6.0] * 3
    kept = first.tokens if isinstance(first, Batch) else first["tokens"]
    assert kept.tolist() == [0.0] * 3


SECRET = {"calls": 0}


class CountsElsewhere(nn.Module):
    """Counts where nobody looks."""

    def forward(self, x):
        SECRET["calls"] += 1
        return x * SECRET["calls"]


def test_verifying_finds_what_the_watch_cannot_see(lazy):
    SECRET["calls"] = 0
    expected, *_ = run(CountsElsewhere(), nothing, graphs=False)
    SECRET["calls"] = 0
    with pytest.warns(UserWarning, match="a replay gave other results"):
        results, _, _, handle = run(CountsElsewhere(), nothing, graphs=True, verify=True)
    assert [x.tolist() for x in results] == [x.tolist() for x in expected]
    assert handle.graphs == ()
    assert [reason.code for reason in handle.refusals] == ["differs"]
    handle.remove()


class Box:
    """What nobody can look into."""

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(("returned", "code"), [(Batch, "differs"), (Box, "not-compared")])
def test_verified_is_only_what_was_compared(lazy, returned, code):
    class Returns(CountsElsewhere):
        def forward(self, x):
            return returned(super().forward(x))

    module, x = Returns(), torch.ones(3, device="hpu")
    with hpu_graphs(module, verify=True) as handle:
        module(x)
        with pytest.warns(UserWarning, match="a replay"):
            module(x)
    assert [reason.code for reason in handle.refusals] == [code]
    assert handle.graphs == ()


def test_after_freeing_what_was_refused_is_tried_again(lazy):
    class Asks(nn.Module):
        asks = True

        def forward(self, x):
            return x + x.sum().item() if self.asks else x + 1

    module, x = Asks(), torch.ones(3, device="hpu")
    with hpu_graphs(module) as handle:
        with pytest.warns(UserWarning, match="reads a value"):
            module(x)
        module.asks = False
        handle.free()
        assert [module(x).tolist()[0] for _ in range(2)] == [2.0, 2.0]
        assert len(handle.graphs) == 1
