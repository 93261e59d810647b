import functools
import gc

import torch

from gaudi_lab.instruments.fused_operators.renamed_call import call_instead, functions_called, names_read


def turn(x, by, more=0):
    return x + by + more


def halve(x):
    return x / 2


def forward(x, *, by=1):
    return [turn(x, by) for _ in range(2)]


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@decorated
@decorated
def behind_decorators(x, *, by=1):
    return halve(turn(x, by))


def counted(function):
    def wrapper(*args):
        wrapper.calls += 1
        return function(*args)

    wrapper.calls = 0
    return wrapper


@counted
def behind_a_counter(x):
    return turn(x, 1)


class Owner:
    pass


def added_names():
    return [name for name in globals() if name.startswith("_gaudi_lab_")]


def test_the_copy_calls_another_function_and_the_original_its_own():
    owner = Owner()
    copied = call_instead(forward, "turn", lambda x, by: x * 100, owner)
    assert copied(3) == [300, 300]
    assert forward(3) == [4, 4]
    assert copied.__name__ == "forward"
    assert copied.__kwdefaults__ == {"by": 1}


def test_decorators_are_looked_through():
    owner = Owner()
    assert functions_called(behind_decorators) == {"turn": turn, "halve": halve}
    copied = call_instead(behind_decorators, "turn", lambda x, by: x * 100, owner)
    assert copied(3) == 150
    assert behind_decorators(3) == 2


def test_a_decorator_that_names_itself_is_copied_once():
    owner = Owner()
    copied = call_instead(behind_a_counter, "turn", lambda x, by: x * 100, owner)
    assert [copied(3), copied(3), behind_a_counter(3)] == [300, 300, 4]
    assert (copied.calls, behind_a_counter.calls) == (2, 1)


def test_the_name_that_was_added_goes_with_its_owner():
    gc.collect()
    before = added_names()
    owner = Owner()
    call_instead(behind_decorators, "turn", lambda x, by: x, owner)
    assert len(added_names()) == len(before) + 1
    del owner
    gc.collect()
    assert added_names() == before


def test_what_the_module_changes_later_is_seen_by_the_copy(monkeypatch):
    owner = Owner()
    copied = call_instead(behind_decorators, "turn", lambda x, by: x * 100, owner)
    monkeypatch.setitem(globals(), "halve", lambda x: -x)
    assert copied(3) == -300


def test_a_name_that_is_an_attribute_too_is_left_alone():
    def mixed(x):
        return turn(x, 1) + x.turn

    assert "turn" not in functions_called(mixed)
    assert "turn" in names_read(mixed)


def test_torch_compile_reads_the_copy_without_a_break():
    owner = Owner()
    copied = call_instead(behind_decorators, "turn", lambda x, by: x * 100, owner)
    compiled = torch.compile(copied, backend="eager", fullgraph=True)
    assert compiled(torch.ones(1)).item() == 50
    assert torch.compile(behind_decorators, backend="eager", fullgraph=True)(torch.ones(1)).item() == 1
