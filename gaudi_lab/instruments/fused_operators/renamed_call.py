"""Have one forward call another function where it calls one by its global name, and no other forward.

The forward is copied with that one name changed, and the new name is added to the globals of its module beside the
old one. So the module of the library stays as it is for everyone else, threads included, and `torch.compile` reads
the copy as it reads any function.
"""

from __future__ import annotations

import dis
import functools
import itertools
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

_numbers = itertools.count(1)
# Operators of the bytecode that read a global by its name; any other use of the same name cannot be told apart.
_READS = ("LOAD_GLOBAL",)


def functions_called(forward: Any) -> dict[str, types.FunctionType]:
    """Return the plain functions that `forward` reads from its module's globals, by name.

    Decorators are looked through: what they wrapped hangs on them.
    """
    found: dict[str, types.FunctionType] = {}
    for function in _functions_in(forward):
        for name in _global_names(function.__code__):
            value = function.__globals__.get(name)
            if isinstance(value, types.FunctionType):
                found.setdefault(name, value)
    return found


def names_read(forward: Any) -> set[str]:
    """Return all names of globals and attributes that `forward` reads, decorators looked through."""
    return {name for function in _functions_in(forward) for name in _all_names(function.__code__)}


def call_instead(forward: Any, name: str, stand_in: Callable[..., Any], owner: object) -> Any:
    """Return a copy of `forward` that calls `stand_in` where it called the global `name`.

    Parameters
    ----------
    forward
        A function, decorated or not.
    name
        As `functions_called` gives it.
    stand_in
        Takes the same arguments.
    owner
        With it goes the name that is added to the globals of the forward's module.
    """
    alias = f"_gaudi_lab_{name}_{next(_numbers)}"
    return _Renaming(name, alias, stand_in, owner).copy(forward)


class _Renaming:
    """Copies of functions, of each one, that call `stand_in` by its new name."""

    def __init__(self, name: str, alias: str, stand_in: Callable[..., Any], owner: object) -> None:
        self._name, self._alias, self._stand_in, self._owner = name, alias, stand_in, owner
        self._copies: dict[Any, Any] = {}

    def copy(self, function: Any) -> Any:
        """Return the copy of a function. Those in its closure that make the call are copied too."""
        if function in self._copies:
            return self._copies[function]
        code = function.__code__
        if self._name in _global_names(code):
            code = _rename(code, self._name, self._alias)
            function.__globals__[self._alias] = self._stand_in
            weakref.finalize(self._owner, function.__globals__.pop, self._alias, None)
        held = function.__closure__ or ()
        cells = tuple(types.CellType() if self._makes_the_call(cell) else cell for cell in held)
        copied = types.FunctionType(
            code, function.__globals__, function.__name__, function.__defaults__, cells or None
        )
        copied.__kwdefaults__ = function.__kwdefaults__
        copied.__qualname__, copied.__module__, copied.__doc__ = (
            function.__qualname__,
            function.__module__,
            function.__doc__,
        )
        copied.__annotations__ = function.__annotations__
        copied.__dict__.update(function.__dict__)
        self._copies[function] = copied
        # Filled last: a function can be in its own closure, such as a decorator's that counts its calls.
        for cell, own in zip(held, cells, strict=True):
            if own is not cell:
                own.cell_contents = self.copy(cell.cell_contents)
        return copied

    def _makes_the_call(self, cell: Any) -> bool:
        held = _content(cell)
        return isinstance(held, types.FunctionType) and self._name in functions_called(held)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # an empty one
        return None


def _functions_in(forward: Any) -> Iterator[types.FunctionType]:
    """Yield a function, and those that it holds in its closure."""
    waiting, seen = [forward], set()
    while waiting:
        function = waiting.pop()
        if isinstance(function, types.FunctionType) and id(function) not in seen:
            seen.add(id(function))
            yield function
            waiting += map(_content, function.__closure__ or ())


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _all_names(code: types.CodeType) -> set[str]:
    return {name for part in _codes(code) for name in part.co_names}


@functools.lru_cache(maxsize=4096)
def _global_names(code: types.CodeType) -> set[str]:
    """Return the names that a function reads as globals and uses for nothing else."""
    read, other = set(), set()
    for part in _codes(code):
        for step in dis.get_instructions(part):
            if step.opname in _READS:
                read.add(step.argval)
            elif step.opcode in dis.hasname:
                other.add(step.argval)
    return read - other


def _rename(code: types.CodeType, name: str, alias: str) -> types.CodeType:
    return code.replace(
        co_names=tuple(alias if x == name else x for x in code.co_names),
        co_consts=tuple(
            _rename(x, name, alias) if isinstance(x, types.CodeType) else x for x in code.co_consts
        ),
    )
