"""How a program departs from the closest one that was compiled before."""

import pytest
import torch

from gaudi_lab import emulator
from gaudi_lab.emulator.lazy import record


@pytest.fixture
def told(workbench):
    """What was told of each program, from now on, in lazy mode."""
    emulator.set_lazy(True)
    found = []
    undo = emulator.watch_programs(found.append, lambda *_: None)
    yield found
    undo()


def tensor(*size):
    return torch.randn(*size).to("hpu")


def kinds(departure):
    return [change.kind for change in departure.changes]


def test_of_several_earlier_programs_the_closest_is_taken(told):
    y = tensor(23)
    for rows in (2, 3):
        (tensor(rows, 23).erf() * 2 + y).cpu()
    (tensor(3, 23).erf() * 5 + y).cpu()
    first, second, third = told
    assert third.earlier == second.name != first.name
    (change,) = third.changes
    assert (change.kind, change.argument, change.before, change.now) == ("scalar", "other", 2, 5)


def test_all_differences_are_told_not_only_the_first(told):
    for rows, factor in ((2, 3.0), (4, 7.0)):
        (tensor(rows, 29).erfc() * factor).cpu()
    assert kinds(told[1]) == ["input", "scalar"]
    assert told[1].changes[0].before[0] == (2, 29)
    assert told[1].changes[0].now[0] == (4, 29)


def test_a_result_that_is_still_wanted_is_named_by_its_operator(told):
    x = tensor(31)
    (x.digamma() + 1).cpu()
    kept = x.digamma()
    (kept + 1).cpu()
    (change,) = told[1].changes
    assert (change.kind, change.operator) == ("kept result", "aten.digamma")


def test_another_operator_in_the_middle(told):
    x = tensor(37)
    x.exp().sin().add(1).cpu()
    x.exp().cos().add(1).cpu()
    (change,) = told[1].changes
    assert (change.kind, change.before, change.now) == ("operator", "aten.sin", "aten.cos")


def test_more_operators_are_counted(told):
    x = tensor(41)
    x.exp().add(1).cpu()
    x.exp().tan().tan().add(1).cpu()
    (change,) = told[1].changes
    assert (change.kind, change.operator, change.now) == ("more operators", "aten.tan", 2)


def test_a_program_like_no_other_is_a_first(told):
    tensor(43).lgamma().lgamma().lgamma().cpu()
    assert (told[0].kind, told[0].changes) == ("first", ())


def test_what_was_forgotten_is_not_called_new(told):
    x = tensor(47)
    x.sinh().cpu()
    record.trie.make_room()
    record.tape.restart()
    x.sinh().cpu()
    assert told[1].kind == "forgotten"


def test_what_was_cleared_by_request_is_new(told):
    x = tensor(49)
    x.sinh().cpu()
    from habana_frameworks.torch.utils import debug

    debug._bridge_cleanup()
    x.sinh().cpu()
    assert told[1].kind == "first"


def test_the_default_dtype_makes_another_program(told):
    x = tensor(53).int()
    x.cpu()
    told.clear()
    x.add(1).cpu()
    torch.set_default_dtype(torch.float64)
    try:
        x.add(1).cpu()
    finally:
        torch.set_default_dtype(torch.float32)
    assert kinds(told[1]) == ["default dtype"]


def test_whoever_raises_stops_the_compile_and_the_next_call_runs(workbench):
    emulator.set_lazy(True)

    def stop(_):
        raise ValueError("not now")

    x = tensor(59)
    undo = emulator.watch_programs(stop, lambda *_: None)
    with pytest.raises(ValueError, match="not now"):
        x.cosh().cpu()
    undo()
    torch.testing.assert_close(x.cosh().cpu(), x.cpu().cosh())
