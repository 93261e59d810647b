"""What is inside of containers: of a call's arguments, and of what it returns.

Containers are those that an HPU graph looks into: lists, tuples, mappings and dataclasses. In results, what PyTorch
takes apart besides counts as one too.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any, TypeGuard

import torch
from torch.utils._pytree import tree_leaves, tree_map


def items(value: Any) -> Iterator[tuple[Any, Any]] | None:
    """Return what is in a container, each with its label; None for what is no container."""
    # Most values are these, and to ask whether one is a mapping costs more.
    if isinstance(value, torch.Tensor) or value.__class__ in _PLAIN:
        return None
    if isinstance(value, Mapping):
        return iter(value.items())
    if isinstance(value, (list, tuple)):
        return iter(enumerate(value))
    if is_dataclass(value):
        return iter([(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)])
    return None


_PLAIN = {int, float, bool, str, type(None)}


def is_dataclass(value: Any) -> TypeGuard[Any]:
    """Whether `value` is an instance of a dataclass."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield everything in `value` that is no container, with a name such as "batch.tokens"."""
    inner = items(value)
    if inner is None:
        yield name, value
        return
    for label, item in inner:
        yield from leaves(f"{name}.{label}", item)


def rebuild(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a container like `value`, with `change` of each thing in it.

    What is no container, or cannot be made anew, is returned as it is, and so is a tuple in which nothing has changed.
    """
    if isinstance(value, tuple):
        made = [change(x) for x in value]
        if all(x is y for x, y in zip(made, value, strict=True)):
            return value
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    if not isinstance(value, (list, MutableMapping)) and not is_dataclass(value):
        return value
    same: Any = copy.copy(value)
    if isinstance(value, list):
        same[:] = [change(x) for x in value]
    elif isinstance(value, MutableMapping):
        for key, x in value.items():
            same[key] = change(x)
    else:
        for field in dataclasses.fields(value):
            object.__setattr__(same, field.name, change(getattr(value, field.name)))
    return same


def map_tensors(function: Callable[[torch.Tensor], Any], result: Any) -> Any:
    """Return what a call has returned, with `function` of each tensor in it."""
    if isinstance(result, torch.Tensor):
        return function(result)
    inside = partial(map_tensors, function)
    if items(result) is not None:
        return rebuild(result, inside)
    return tree_map(lambda x: x if x is result else inside(x), result)


def find_tensors(result: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each tensor in what a call has returned, with its name, which begins with `name`."""
    for place, leaf in leaves(name, result):
        if isinstance(leaf, torch.Tensor):
            yield place, leaf
        else:
            for number, x in enumerate(tree_leaves(leaf)):
                if x is not leaf:
                    yield from find_tensors(x, f"{place}.{number}")
