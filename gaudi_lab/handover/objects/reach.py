"""The way from a name to an object that it holds, as one would write it: "loader.lock", "batches[3]"."""

from __future__ import annotations

import functools
import gc
import time
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

_MOST = 20_000
"""How many objects are looked at before the way is not known."""

_LONGEST = 0.3
"""How many seconds it may take: an explanation is not worth waiting for."""

_PLAIN = (str, bytes, int, float, complex, bool, type(None), types.ModuleType, types.CodeType)


def way(name: str, value: Any, target: Any, namespace: dict[str, Any]) -> str | None:
    """Return the shortest way from `name`, which is bound to `value`, to `target`; None if there is none.

    What is reached through the namespace itself belongs to other names.
    """
    if value is target:
        return name
    seen = {id(value), id(namespace)}
    waiting = deque([(name, value)])
    alive = []  # an address means an object only as long as the object is there
    end = time.monotonic() + _LONGEST
    while waiting and len(seen) < _MOST and time.monotonic() < end:
        path, thing = waiting.popleft()
        for label, child in _children(thing):
            if child is target:
                return path + label
            if id(child) not in seen and not isinstance(child, _PLAIN) and not _is_of_a_library(child):
                seen.add(id(child))
                alive.append(child)
                waiting.append((path + label, child))
    return None


def everything(value: Any) -> Iterator[Any]:
    """Yield `value` and what can be reached from it, the nearest first, as far as `way` would look."""
    seen = {id(value)}
    waiting = deque([value])
    alive = [value]
    end = time.monotonic() + _LONGEST
    while waiting and len(seen) < _MOST and time.monotonic() < end:
        thing = waiting.popleft()
        yield thing
        for _, child in _children(thing):
            if id(child) not in seen and not isinstance(child, _PLAIN) and not _is_of_a_library(child):
                seen.add(id(child))
                alive.append(child)
                waiting.append(child)


def _children(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield what `thing` holds, with what is to be written to get there."""
    match thing:
        case dict():
            for key, child in list(thing.items()):
                yield (f"[{key!r}]" if isinstance(key, (str, int, float, bool, tuple)) else "[…]"), child
                if not isinstance(key, _PLAIN):
                    yield " (a key)", key
        case list() | tuple() | deque():
            yield from ((f"[{number}]", child) for number, child in enumerate(thing))
        case set() | frozenset():
            yield from ((" (an element)", child) for child in thing)
        case types.FunctionType():
            names = thing.__code__.co_freevars
            for variable, cell in zip(names, thing.__closure__ or (), strict=True):
                yield f" (its variable {variable})", _contents(cell)
            yield from ((" (a default)", child) for child in thing.__defaults__ or ())
            yield from ((f".{key}", child) for key, child in vars(thing).items())
        case types.MethodType():
            yield ".__self__", thing.__self__
            yield ".__func__", thing.__func__
        case functools.partial():
            yield ".func", thing.func
            yield from ((f".args[{number}]", child) for number, child in enumerate(thing.args))
            yield from ((f".keywords[{key!r}]", child) for key, child in thing.keywords.items())
        case type():
            if thing.__module__ == "__main__":
                yield from ((f".{key}", child) for key, child in vars(thing).items())
        case _:
            yield from _attributes(thing)


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    known = set()
    own = getattr(thing, "__dict__", None)
    if isinstance(own, dict):
        known.add(id(own))
        for key, child in list(own.items()):
            # A module of PyTorch keeps what one writes as attributes in dictionaries of its own.
            if key in ("_modules", "_parameters", "_buffers") and isinstance(child, dict):
                known.add(id(child))
                yield from ((f".{name}", part) for name, part in list(child.items()))
            else:
                yield f".{key}", child
    for base in type(thing).__mro__:
        for slot in (
            getattr(base, "__slots__", ()) if not isinstance(getattr(base, "__slots__", ()), str) else ()
        ):
            try:
                child = getattr(thing, slot)
            except Exception:
                continue
            yield f".{slot}", child
    try:
        held = gc.get_referents(thing)
    except Exception:
        return
    yield from ((" (inside)", child) for child in held if id(child) not in known and child is not type(thing))


def _is_of_a_library(thing: Any) -> bool:
    """Return whether something belongs to a module, and leads to everything that the module has."""
    return isinstance(thing, (type, types.BuiltinFunctionType)) and thing.__module__ != "__main__"


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
