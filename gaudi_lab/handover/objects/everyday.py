"""Objects of the standard library that pickle leaves out, or brings back with less than they had."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from gaudi_lab.handover.objects.refusals import CannotTravel


def reducer_for(kind: type) -> Callable[[Any, Any], Any] | None:
    """Return how an object of `kind` is reduced, if it is one of these."""
    if issubclass(kind, BaseException) and kind.__reduce__ is BaseException.__reduce__:
        return _reduce_exception
    return _KINDS.get(kind)


def _reduce_weakref(reference: weakref.ref[Any], carrier: Any) -> Any:
    if reference.__callback__ is not None:
        raise CannotTravel("is a weak reference that calls a function when its object goes")
    target = reference()
    return (make_dead_reference, ()) if target is None else (weakref.ref, (target,))


class _Gone:
    """What a dead reference referred to."""


def make_dead_reference() -> weakref.ref[Any]:
    """Return a weak reference whose object is gone."""
    return weakref.ref(_Gone())


def _reduce_weak_dict(mapping: Any, carrier: Any) -> Any:
    return type(mapping), (), list(mapping.items()), None, None, set_weak_dict


def set_weak_dict(mapping: Any, items: list[tuple[Any, Any]]) -> None:
    """Fill a dictionary with weak keys or values."""
    for key, value in items:
        mapping[key] = value


def _reduce_weak_set(items: Any, carrier: Any) -> Any:
    return weakref.WeakSet, (), set(items), None, None, set_weak_set


def set_weak_set(target: Any, items: set[Any]) -> None:
    """Fill a set with weak references."""
    target.update(items)


def _reduce_exception(error: BaseException, carrier: Any) -> Any:
    if error.__traceback__ is not None:
        carrier.changes(error, "has no traceback any more")
    linked = (error.__cause__, error.__context__, error.__suppress_context__)
    return make_exception, (type(error), error.args), (vars(error), linked), None, None, set_exception


def make_exception(kind: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    """Return an exception without calling an `__init__` in Python, which may want other arguments than it passed on.

    The one that is not is what it passed them on to, which keeps them in fields of its own.
    """
    error = kind.__new__(kind, *arguments)
    given = (vars(base).get("__init__") for base in kind.__mro__)
    initialize = next(each for each in given if isinstance(each, types.WrapperDescriptorType))
    with contextlib.suppress(Exception):  # of arguments that somebody has put in their place
        initialize(error, *arguments)
    error.args = arguments
    return error


def set_exception(error: BaseException, state: tuple[dict[str, Any], tuple[Any, Any, bool]]) -> None:
    """Give an exception its attributes, and those that it came of."""
    attributes, (error.__cause__, error.__context__, error.__suppress_context__) = state
    vars(error).update(attributes)


def _reduce_view(view: Any, carrier: Any) -> Any:
    (mapping,) = gc.get_referents(view)  # there is no other way to the dictionary itself
    return make_view, (mapping, type(view).__name__.rpartition("_")[2])


def make_view(mapping: dict[Any, Any], method: str) -> Any:
    """Return the keys, the values or the items of a dictionary, as its view."""
    return getattr(mapping, method)()


def _reduce_proxy(proxy: types.MappingProxyType[Any, Any], carrier: Any) -> Any:
    (mapping,) = gc.get_referents(proxy)
    return types.MappingProxyType, (mapping,)


def _reduce_field(field: dataclasses.Field[Any], carrier: Any) -> Any:
    state = {name: getattr(field, name) for name in field.__slots__ if hasattr(field, name)}
    return make_blank, (dataclasses.Field,), (None, state)


def make_blank(kind: Any) -> Any:
    """Return an object of `kind` without calling its `__init__`."""
    return kind.__new__(kind)


_EMPTY: dict[Any, Any] = {}
_ORDERED: OrderedDict[Any, Any] = OrderedDict()
_KINDS: dict[type, Callable[[Any, Any], Any]] = {
    weakref.ref: _reduce_weakref,
    weakref.WeakKeyDictionary: _reduce_weak_dict,
    weakref.WeakValueDictionary: _reduce_weak_dict,
    weakref.WeakSet: _reduce_weak_set,
    types.MappingProxyType: _reduce_proxy,
    dataclasses.Field: _reduce_field,
    type(_EMPTY.keys()): _reduce_view,
    type(_EMPTY.values()): _reduce_view,
    type(_EMPTY.items()): _reduce_view,
    type(_ORDERED.keys()): _reduce_view,
    type(_ORDERED.values()): _reduce_view,
    type(_ORDERED.items()): _reduce_view,
}
