"""Read the input shapes of a call: what graphs are keyed by, and what most new compiles are due to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch

from gaudi_lab.instruments.guard import call_arguments
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
        Shape(name, tuple(x.shape))
        for name, x in call_arguments.tensors(named(forward, args, kwargs)).items()
    )


def named(forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name; `argument 3` where the signature has no name for it.

    Parameters
    ----------
    forward
        What is called; its signature names the positional arguments.
    args, kwargs
        The call's arguments.
    """
    names = _positional_names(forward)
    names += [f"argument {position}" for position in range(len(names), len(args))]
    return {**dict(zip(names, args, strict=False)), **kwargs}


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


def _key(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return ("tensor", tuple(value.shape))
    inner = call_arguments.items(value)
    if inner is not None:
        return (type(value).__name__, tuple((label, _key(item)) for label, item in inner))
    try:
        return hash(value)
    except TypeError:
        return id(value)
