"""What is one object before is one object afterwards, and what is two stays two."""

from __future__ import annotations

import types

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaudi_lab.handover.objects.canonical_hash import likeness
from gaudi_lab.handover.objects.landmarks import Landmarks
from gaudi_lab.handover.snapshot import load, take

KINDS = ("list", "dict", "tuple", "set", "object", "cell")


@st.composite
def graphs(draw):
    """Return objects that refer to each other in any way, cycles included."""
    made: list[object] = []
    for _ in range(draw(st.integers(1, 12))):
        parts = draw(st.lists(st.integers(0, 30), max_size=4))
        held = [made[part % len(made)] if made else part for part in parts]
        match draw(st.sampled_from(KINDS)):
            case "list":
                made.append(held)
            case "dict":
                made.append(dict(enumerate(held)))
            case "tuple":
                made.append(tuple(held))
            case "set":
                made.append(
                    {part for part in held if type(part) in (int, types.SimpleNamespace) and part.__hash__}
                )
            case "object":
                made.append(types.SimpleNamespace(held=held))
            case "cell":
                made.append(types.CellType(held))
    for _ in range(draw(st.integers(0, 4))):
        target = draw(st.sampled_from(made))
        if isinstance(target, list):
            target.append(draw(st.sampled_from(made)))  # a cycle, perhaps
    return made


def shape(values: dict[str, object]) -> list[object]:
    """Return a walk through objects, with the number of each that was met before in its place."""
    numbers: dict[int, int] = {}
    told: list[object] = []

    def walk(thing: object) -> None:
        if not isinstance(thing, (list, dict, tuple, set, types.SimpleNamespace, types.CellType)):
            told.append(thing)
            return
        # Which of two equal immutable values it is does not matter, and of the empty tuple there is only one.
        if not (isinstance(thing, tuple) and all(type(part) is int for part in thing)):
            if id(thing) in numbers:
                told.append(("again", numbers[id(thing)]))
                return
            numbers[id(thing)] = len(numbers)
        told.append(type(thing).__name__)
        match thing:
            case dict():
                for key, value in thing.items():
                    told.append(key)
                    walk(value)
            case set():
                told.append(sorted(map(str, thing)))
            case types.SimpleNamespace():
                walk(thing.held)
            case types.CellType():
                walk(thing.cell_contents)
            case _:
                for part in thing:
                    walk(part)
        told.append("end")

    for name, value in values.items():
        told.append(name)
        walk(value)
    return told


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=graphs())
def test_who_shares_what_is_the_same_afterwards(made, tmp_path):
    before = {f"name{number}": value for number, value in enumerate(made)}
    snapshot = take(before, folder=tmp_path)
    assert snapshot.left == ()
    after: dict[str, object] = {}
    loaded = load(snapshot.path, after)
    after = {name: after[name] for name in before}
    assert shape(after) == shape(before)
    assert loaded.differs == loaded.not_compared == ()


@settings(max_examples=60, deadline=None)
@given(made=graphs(), number=st.integers(0, 100))
def test_the_hash_tells_when_one_object_has_become_two(made, number):
    lists = [value for value in made if isinstance(value, list)]
    pair = [lists[number % len(lists)]] * 2 if lists else [[1]] * 2
    marks = Landmarks({})
    twin = [pair[0], list(pair[0])]
    one, same, other = (likeness(x, marks, {}) for x in (pair, [pair[0], pair[0]], twin))
    assert one == same
    assert one != other


@pytest.mark.parametrize("shared", [[1], {"a": 1}, types.SimpleNamespace(), types.CellType(1)])
def test_names_that_share_something_are_one_group(shared, tmp_path):
    namespace = {"one": [shared], "two": {"k": (shared, 1)}, "three": [1], "text": "abc", "same_text": "abc"}
    snapshot = take(namespace, folder=tmp_path)
    assert {frozenset(group) for group in snapshot.groups} == {
        frozenset({"one", "two"}), frozenset({"three"}), frozenset({"text"}), frozenset({"same_text"})
    }  # fmt: skip


def test_a_hidden_entry_shares_with_the_names(tmp_path):
    model = [1]
    snapshot = take({"model": model}, hidden={"attached": {"model": model}}, folder=tmp_path)
    assert (snapshot.names, snapshot.hidden) == (("model",), ("attached",))
    into: dict[str, object] = {}
    loaded = load(snapshot.path, into)
    assert loaded.hidden["attached"]["model"] is into["model"]
    assert set(into) == {"model"}
