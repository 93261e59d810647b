"""Functions, classes and code of the notebook, and what is found by its name.

The one module with names of cloudpickle that it does not promise.
"""

from __future__ import annotations

import functools
import importlib
import marshal
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

import cloudpickle.cloudpickle as stock

from gaudi_lab.handover.objects.refusals import CannotTravel

# Attributes of a function beside its code, its global variables and its closure. A name that this Python lacks is not
# asked for: `__annotate__` is the annotations before they are evaluated, since 3.14.
_ATTRIBUTES = tuple(
    name
    for name in (
        "__name__",
        "__qualname__",
        "__module__",
        "__doc__",
        "__defaults__",
        "__kwdefaults__",
        "__annotate__" if sys.version_info >= (3, 14) else "__annotations__",
        "__type_params__",
    )
    if hasattr(types.FunctionType, name) or hasattr(lambda: None, name)
)


def reducer_for(kind: type) -> Callable[[Any, Any], Any] | None:
    """Return how an object of `kind` is reduced, if it is a function, a class, a module or a part of one."""
    if issubclass(kind, type):
        return _reduce_class
    if issubclass(kind, types.ModuleType):
        return _reduce_module
    return _KINDS.get(kind)


NAMED = (type, types.FunctionType)
"""What is found by its name, if a module has it."""


def goes_by_name(thing: Any) -> bool:
    """Whether a function or class is one that a module has."""
    return bool(stock._should_pickle_by_reference(thing))


def own_name(thing: Any) -> tuple[str, str]:
    """Return the module and name that a function or class is written by."""
    return str(stock._whichmodule(thing, thing.__qualname__)), thing.__qualname__


def _reduce_function(function: types.FunctionType, carrier: Any) -> Any:
    if goes_by_name(function):
        return NotImplemented
    carrier.travels_by_value(function)
    attributes = {name: getattr(function, name) for name in _ATTRIBUTES}
    arguments = (function.__code__, function.__globals__, function.__closure__)
    return make_function, arguments, (vars(function), attributes), None, None, set_function


def make_function(
    code: types.CodeType, variables: dict[str, Any], closure: tuple[types.CellType, ...] | None
) -> types.FunctionType:
    """Return a function over global variables and cells that others may share."""
    return types.FunctionType(code, variables, None, None, closure)


def set_function(function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Give a function its attributes."""
    own, attributes = state
    vars(function).update(own)
    for name, value in attributes.items():
        setattr(function, name, value)


def _reduce_cell(cell: types.CellType, carrier: Any) -> Any:
    try:
        contents = cell.cell_contents
    except ValueError:  # not bound yet
        return make_cell, ()
    return make_cell, (), (contents,), None, None, set_cell


def make_cell() -> types.CellType:
    """Return an empty cell."""
    return types.CellType()


def set_cell(cell: types.CellType, state: tuple[Any]) -> None:
    """Put a value into a cell, when everything that shares the cell can find it."""
    (cell.cell_contents,) = state


def _reduce_code(code: types.CodeType, carrier: Any) -> Any:
    return marshal.loads, (marshal.dumps(code),)


def _reduce_class(kind: type, carrier: Any) -> Any:
    reduced: Any = stock._class_reduce(kind)
    if not isinstance(reduced, tuple) or reduced[0] not in (
        stock._make_skeleton_class,
        stock._make_skeleton_enum,
    ):
        return reduced
    carrier.travels_by_value(kind)
    arguments: list[Any]
    # Without the number by which cloudpickle recognises a class that this process has already: what is loaded never
    # writes into a class that the user has.
    *arguments, _, extra = reduced[1]
    if reduced[0] is stock._make_skeleton_class:
        # What the class cannot be given afterwards. cloudpickle leaves the slots to be an attribute like any other.
        at_birth = {"__qualname__": kind.__qualname__}
        if "__slots__" in vars(kind) and typing.NamedTuple not in vars(kind).get("__orig_bases__", ()):
            at_birth["__slots__"] = vars(kind)["__slots__"]
        arguments[3] = {**arguments[3], **at_birth}
        return (make_class, (*arguments, None, extra), *reduced[2:])
    return (reduced[0], (*arguments, None, extra), *reduced[2:])


def make_class(metaclass: type, name: str, bases: tuple[Any, ...], *more: Any) -> Any:
    """Return a class that has nothing yet, and of which no class of the notebook hears that it is made.

    What `__init_subclass__` did when it was made first comes along with whatever it was done to.
    """
    classes = types.resolve_bases(bases)
    above = {base for each in classes for base in each.__mro__ if base.__module__ == "__main__"}
    told = {base: vars(base)["__init_subclass__"] for base in above if "__init_subclass__" in vars(base)}
    for base in told:
        type.__delattr__(base, "__init_subclass__")
    try:
        return stock._make_skeleton_class(metaclass, name, bases, *more)
    finally:
        for base, method in told.items():
            type.__setattr__(base, "__init_subclass__", method)


def _reduce_typevar(variable: Any, carrier: Any) -> Any:
    reduced: Any = stock._typevar_reduce(variable)
    if reduced[0] is not stock._make_typevar:
        return reduced
    carrier.travels_by_value(variable)
    return stock._make_typevar, (*reduced[1][:-1], None)


def _is_remade(module: types.ModuleType, known: types.ModuleType | None) -> bool:
    """Whether a library has put another object in a module's place: transformers does, when it is first asked."""
    file = getattr(module, "__file__", None)
    return file is not None and type(known) is type(module) and getattr(known, "__file__", None) == file


def _reduce_module(module: types.ModuleType, carrier: Any) -> Any:
    known = sys.modules.get(module.__name__)
    if known is module or _is_remade(module, known):
        return importlib.import_module, (module.__name__,)
    if type(module) is not types.ModuleType:
        raise CannotTravel("is a module that cannot be imported by its name")
    carrier.travels_by_value(module)
    return types.ModuleType, (module.__name__,), vars(module), None, None, set_module


def set_module(module: types.ModuleType, state: dict[str, Any]) -> None:
    """Fill a module that was made by hand."""
    vars(module).update(state)


def _reduce_cached_property(cached: functools.cached_property[Any], carrier: Any) -> Any:
    return make_cached_property, (cached.func, cached.attrname)


def make_cached_property(function: Callable[..., Any], name: str | None) -> functools.cached_property[Any]:
    """Return a cached property under the name that its class has given it."""
    cached = functools.cached_property(function)
    cached.attrname = name
    return cached


def _reduce_cache(cache: Any, carrier: Any) -> Any:
    known = name_in_its_module(cache)
    if known is not None:
        return by_name(*known)
    carrier.travels_by_value(cache)
    carrier.changes(cache, "has an empty cache")
    parameters = cache.cache_parameters()
    return (
        make_cache,
        (parameters["maxsize"], parameters["typed"], cache.__wrapped__),
        vars(cache),
        None,
        None,
        set_cache,
    )


def make_cache(size: int | None, typed: bool, function: Callable[..., Any]) -> Any:
    """Return `function` behind an empty cache."""
    return functools.lru_cache(size, typed)(function)


def set_cache(cache: Any, state: dict[str, Any]) -> None:
    """Give a cached function its attributes."""
    vars(cache).update(state)


_KINDS: dict[type, Callable[[Any, Any], Any]] = {
    types.FunctionType: _reduce_function,
    types.CellType: _reduce_cell,
    types.CodeType: _reduce_code,
    type(functools.lru_cache(_reduce_code)): _reduce_cache,
    functools.cached_property: _reduce_cached_property,
    type(stock.typing.TypeVar("_T")): _reduce_typevar,
}


def name_in_its_module(thing: Any) -> tuple[str, str] | None:
    """Return the module and the name under which `thing` itself is found there, if it says so and it is true."""
    name = getattr(thing, "__qualname__", None)
    if name is None:
        return None
    module = getattr(thing, "__module__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    try:
        found = functools.reduce(getattr, name.split("."), sys.modules.get(module))
    except AttributeError:
        return None
    return (module, name) if found is thing else None


def by_name(module: str, name: str) -> Any:
    """Return how to find something again by its name."""
    return find, (module, name)


def find(module: str, name: str) -> Any:
    """Return what a module has under a dotted name."""
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def check_global(thing: Any, name: str) -> None:
    """Refuse an object that says that it is a global variable under `name`, and is not.

    Raises
    ------
    CannotTravel
        It is of the notebook, or not found.
    """
    module = getattr(thing, "__module__", None) or getattr(type(thing), "__module__", None)
    try:
        found = functools.reduce(getattr, name.split("."), sys.modules.get(str(module)))
    except AttributeError:
        found = None
    if found is not thing or module == "__main__":
        raise CannotTravel(f"is known by the name {name} only, and cannot be found by it")
