"""Read the input shapes of a call: what graphs are keyed by, and what most new compiles are due to."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch

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
    names = _positional_names(forward)
    found: list[Shape] = []
    for position, value in enumerate(args):
        name = names[position] if position < len(names) else f"argument {position}"
        found.extend(_shapes_in(name, value))
    for name, value in kwargs.items():
        found.extend(_shapes_in(name, value))
    return tuple(found)


def graph_key(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """Return what tells one HPU graph from another, by the bridge's own rule.

    Tensors count by shape, other values by value, containers by what is in them, and autocast counts. This
    mirrors the documented rule of `wrap_in_hpu_graph`; dtype is not part of it.
    """
    return hash((_key(list(args)), _key(dict(kwargs)), torch.is_autocast_enabled("hpu")))


def _positional_names(forward: Callable[..., Any]) -> list[str]:
    # A method is a new object each time it is asked for; its function stays.
    function = getattr(forward, "__func__", forward)
    bound = function is not forward
    try:
        if function not in _NAMES:
            _NAMES[function] = _read_positional_names(function)
        return _NAMES[function][bound:]
    except TypeError:  # not every callable can be a key
        return _read_positional_names(forward)


# Reading a signature takes longer than a small model's call.
_NAMES: WeakKeyDictionary[Callable[..., Any], list[str]] = WeakKeyDictionary()


def _read_positional_names(forward: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _shapes_in(name: str, value: Any) -> Iterator[Shape]:
    if isinstance(value, torch.Tensor):
        yield Shape(name, tuple(value.shape))
    else:
        for label, item in _items(value):
            yield from _shapes_in(f"{name}.{label}", item)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))


def _key(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return ("tensor", tuple(value.shape))
    if isinstance(value, (Mapping, list, tuple)) or (
        dataclasses.is_dataclass(value) and not isinstance(value, type)
    ):
        return (type(value).__name__, tuple((label, _key(item)) for label, item in _items(value)))
    try:
        return hash(value)
    except TypeError:
        return id(value)
