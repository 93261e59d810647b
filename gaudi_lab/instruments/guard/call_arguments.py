"""The arguments of a call, taken apart: containers, tensors, and objects that the callee shares with its caller.

Containers are those that an HPU graph looks into: lists, tuples, mappings and dataclasses. What is none of these
and no constant is an *object*, such as a cache: a graph knows it by identity only.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import types
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, TypeGuard

import torch

# Values that no call changes, or whose change is somebody else's subject: a generator's is that of random operators.
_CONSTANTS = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    range,
    slice,
    frozenset,
    enum.Enum,
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    torch.Size,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
    torch.Generator,
)


def is_constant(value: Any) -> bool:
    """Whether a call leaves `value` as it is, whatever it does."""
    return isinstance(value, _CONSTANTS)


def items(value: Any) -> Iterator[tuple[Any, Any]] | None:
    """Return what is in a container, each with its label; None for what is no container."""
    if isinstance(value, Mapping):
        return iter(value.items())
    if isinstance(value, (list, tuple)):
        return iter(enumerate(value))
    if is_dataclass(value):
        return iter([(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)])
    return None


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


def objects(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return the objects among the arguments of a call, by name.

    Parameters
    ----------
    call
        The arguments by name.
    """
    return {
        name: leaf
        for argument, value in call.items()
        for name, leaf in leaves(argument, value)
        if not isinstance(leaf, torch.Tensor) and not is_constant(leaf)
    }


def tensors(call: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors among the arguments of a call, by name; those inside objects are not looked for."""
    return {
        name: leaf
        for argument, value in call.items()
        for name, leaf in leaves(argument, value)
        if isinstance(leaf, torch.Tensor)
    }


def same_values(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether two tensors of one shape hold the same, NaN at the same places included. Reads their values."""
    return bool(((x == y) | ((x != x) & (y != y))).all())


class Copies:
    """Copies of a call's containers and tensors, and the way back to the caller's own.

    Attributes
    ----------
    args, kwargs
        The copies; constants and objects are the caller's.
    """

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # By the identity of each copy: the copy, so that it lives, and what it was made of.
        self._originals: dict[int, tuple[Any, Any]] = {}
        self.args: tuple[Any, ...] = tuple(self._copy(x) for x in args)
        self.kwargs: dict[str, Any] = {name: self._copy(x) for name, x in kwargs.items()}

    def give_back(self) -> None:
        """Put into the caller's tensors and containers what a call has put into the copies."""
        for made, original in list(self._originals.values()):
            if isinstance(original, torch.Tensor):
                if not same_values(made, original):
                    original.copy_(made)
            elif isinstance(original, list):
                original[:] = map(self.original, made)
            elif isinstance(original, MutableMapping):
                now = {key: self.original(x) for key, x in made.items()}
                for key in [key for key in original if key not in now]:
                    del original[key]
                for key, x in now.items():
                    if key not in original or original[key] is not x:
                        original[key] = x

    def original(self, made: Any) -> Any:
        """Return the caller's own of a copy; anything else as it is."""
        return self._originals.get(id(made), (None, made))[1]

    def _copy(self, x: Any) -> Any:
        made = self._made_of(x)
        if made is not x:
            self._originals[id(made)] = (made, x)
        return made

    def _made_of(self, x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return x.clone()
        if isinstance(x, tuple):
            made = [self._copy(y) for y in x]
            if all(y is z for y, z in zip(made, x, strict=True)):
                return x
            return type(x)(*made) if hasattr(x, "_fields") else type(x)(made)
        if not isinstance(x, (list, MutableMapping)) and not is_dataclass(x):
            return x
        same: Any = copy.copy(x)
        if isinstance(x, list):
            same[:] = [self._copy(y) for y in x]
        elif isinstance(x, MutableMapping):
            for key, y in x.items():
                same[key] = self._copy(y)
        else:
            for field in dataclasses.fields(x):
                object.__setattr__(same, field.name, self._copy(getattr(x, field.name)))
        return same
