import gc
from types import SimpleNamespace

import pytest

from gaudi_lab.measure import steady
from gaudi_lab.measure.causes.seen import NotedCall
from gaudi_lab.measure.steady import MetCalls, SteadyTimes, seconds_per_element
from gaudi_lab.shapes import Shape


class Net:
    pass


def call(module, *dims):
    return NotedCall("", module, (Shape("x", dims),))


def test_the_median_of_each_size_is_told_under_its_switches():
    times, net = SteadyTimes(), Net()
    for seconds in (1.0, 9.0, 2.0):
        times.note([call(net, 2, 8)], "lazy", seconds)
    times.note([call(net, 2, 8)], "eager", 5.0)
    assert times.medians(net, "lazy") == [((Shape("x", (2, 8)),), 2.0)]
    assert times.medians(Net(), "lazy") == []


def test_an_iteration_with_several_calls_tells_nothing_of_one():
    times, net = SteadyTimes(), Net()
    times.note([call(net, 2, 8), call(net, 2, 8)], "lazy", 1.0)
    times.note([], "lazy", 1.0)
    times.note([call(None, 2, 8)], "lazy", 1.0)
    assert times.medians(net, "lazy") == []


def test_memory_is_bounded_and_no_model_is_kept_alive(monkeypatch):
    monkeypatch.setattr(steady, "MOST_SIZES", 3)
    times, net = SteadyTimes(), Net()
    for size in range(10):
        times.note([call(net, size)], "lazy", 1.0)
    assert [shapes[0].dims for shapes, _ in times.medians(net, "lazy")] == [(7,), (8,), (9,)]
    del net
    gc.collect()
    assert len(times._times) == 0


@pytest.mark.parametrize(
    ("medians", "expected"),
    [
        ([], None),
        ([(0, 1.0)], None),
        ([(10, 1.0)], 0.1),
        ([(10, 1.0), (20, 1.5)], 0.05),
        ([(10, 1.0), (20, 1.5), (30, 2.0)], 0.05),
        ([(10, 2.0), (20, 1.0)], 0.0),
    ],
)
def test_an_element_costs_what_larger_sizes_took_longer(medians, expected):
    assert seconds_per_element(medians) == (expected if expected is None else pytest.approx(expected))


def made(module, signature):
    return SimpleNamespace(module=module, signature=signature)


def test_calls_are_kept_by_their_switches_and_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(steady, "MOST_SIZES", 3)
    met, net = MetCalls(), Net()
    met.note(made(net, "a"), "eager", 0)
    met.note(made(net, "a"), "lazy", 1)
    met.note(made(net, "b"), "lazy", 2)
    met.note(made(None, "c"), "lazy", 3)
    assert met.signatures(net, "lazy") == ["a", "b"]
    assert met.signatures(net, "eager") == ["a"]
    met.note(made(net, "d"), "lazy", 3)
    assert met.signatures(net, "eager") == []
    assert met.signatures(Net(), "lazy") == []
    del net
    gc.collect()
    assert len(met._met) == 0


def test_what_was_compiled_after_a_call_was_compiled_under_the_switches_of_that_call():
    met, net = MetCalls(), Net()
    for number, switches in [(2, "eager"), (3, "lazy"), (5, "lazy"), (6, "eager")]:
        met.note(made(net, "a"), switches, number)
    assert [met.compiled_under(net, "eager", number) for number in range(1, 8)] == [
        *(False, True, False, False, False),
        *(True, True),
    ]
    assert [met.compiled_under(net, "lazy", number) for number in range(2, 7)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert not met.compiled_under(Net(), "eager", 7)
