import pytest

from gaudi_lab.instruments.handle import Handle, all_or_none, together


def test_a_handle_undoes_once():
    undone = []
    handle = Handle(lambda: undone.append(1))
    assert handle.active
    handle.remove()
    handle.remove()
    assert undone == [1]
    assert not handle.active


def test_a_with_block_undoes_at_its_end_also_when_it_raises():
    undone = []
    with pytest.raises(KeyError), Handle(lambda: undone.append(1)):
        raise KeyError
    assert undone == [1]


def test_several_are_undone_last_first():
    undone = []
    together([Handle(lambda i=i: undone.append(i)) for i in range(3)]).remove()
    assert undone == [2, 1, 0]


def test_if_one_edit_fails_those_before_it_are_undone():
    undone = []

    def failing() -> Handle:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised just above
        all_or_none([lambda: Handle(lambda: undone.append("first")), failing])
    assert undone == ["first"]
