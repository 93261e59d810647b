"""Read the input shapes of a call: what graphs are keyed by, and what most new compiles are due to."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Hashable, Mapping
from numbers import Number
from typing import Any
from weakref import WeakKeyDictionary

import torch

from gaudi_lab.instruments import nested
from gaudi_lab.shapes import Shape, Shapes


def read_shapes(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Shapes:
    """Return the shapes of all tensors in a call, by argument name.

    Parameters
    ----------
    forward
        What is called; its signature names the positional arguments.
    args, kwargs
        The call's arguments. Containers are looked into.
    """
    return tuple(
        [
            Shape(name, tuple(value.shape))
            for name, value in read_values(forward, args, kwargs)
            if isinstance(value, torch.Tensor)
        ]
    )


def read_values(
    forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, most: int | None = None
) -> list[tuple[str, Any]]:
    """Return what a call is given, by argument name: tensors and other values, containers taken apart.

    Parameters
    ----------
    forward, args, kwargs
        As for `read_shapes`.
    most
        Stop at so many.
    """
    found: list[tuple[str, Any]] = []
    for name, value in named(forward, args, kwargs).items():
        if value.__class__ in _PLAIN or isinstance(value, torch.Tensor):
            found.append((name, value))
        else:
            found += itertools.islice(nested.leaves(name, value), most)
    return found if most is None else found[:most]


def named(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, containers whole; `argument 3` where the signature has no name for it."""
    if not args:
        return dict(kwargs)
    names = list(read_positional(forward))
    names += [f"argument {position}" for position in range(len(names), len(args))]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def read_positional(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the arguments that a call may give by position."""
    return _signature(forward).positional


def read_defaults(forward: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the plain values that a call gets where it gives none, by argument name."""
    return _signature(forward).defaults


def graph_key(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Hashable:
    """Return what tells one HPU graph from another, by the bridge's own rule.

    Tensors count by shape, other values by value, containers by what is in them, and autocast counts. This
    mirrors the documented rule of `wrap_in_hpu_graph`; dtype is not part of it. It is compared as a whole: the
    bridge's number is the same for -1 and -2.
    """
    return (
        torch.is_autocast_enabled("hpu"),
        tuple([_key(x) for x in args]),
        _key_of_named(kwargs) if kwargs else (),
    )


@dataclasses.dataclass(frozen=True)
class _Signature:
    positional: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _signature(forward: Callable[..., Any]) -> _Signature:
    # A method is a new object each time it is asked for; its function stays.
    function = getattr(forward, "__func__", forward)
    try:
        found = _SIGNATURES.get(function)
        if found is None:
            found = _SIGNATURES[function] = _read_signature(forward)
        return found
    except TypeError:  # not every callable can be a key
        return _read_signature(forward)


# Reading a signature takes longer than a small model's call.
_SIGNATURES: WeakKeyDictionary[Callable[..., Any], _Signature] = WeakKeyDictionary()


def _read_signature(forward: Callable[..., Any]) -> _Signature:
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return _Signature()
    return _Signature(
        tuple([p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]),
        {p.name: p.default for p in parameters if p.default.__class__ in _PLAIN},
    )


_PLAIN = {int, float, bool, str, type(None)}


def _key(value: Any) -> Any:
    kind = value.__class__
    # The common ones first: to ask whether something is a container costs more than all of these.
    if isinstance(value, torch.Tensor):
        return value.shape
    if kind in _PLAIN:
        return kind, value
    if kind is dict:
        return "dict", _key_of_named(value)
    inner = nested.items(value)
    if inner is not None:
        return kind.__name__, tuple([(_label(label), _key(item)) for label, item in inner])
    if isinstance(value, Number):
        return kind.__name__, value
    # No more than a number of it: a key keeps no object alive.
    try:
        return hash(value)
    except TypeError:
        return id(value)


def _key_of_named(values: Mapping[Any, Any]) -> tuple[Any, ...]:
    return tuple([(_label(name), _key(value)) for name, value in values.items()])


def _label(label: Any) -> Any:
    return label if label.__class__ is str else _key(label)
