"""The arguments of a call: their tensors, and the objects that the callee shares with its caller.

What is no container, no tensor and no constant is an *object*, such as a cache: a graph knows it by identity only.
"""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Mapping, MutableMapping
from typing import Any

import torch

from gaudi_lab.instruments import nested

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

_NOTHING = object()


def is_constant(value: Any) -> bool:
    """Whether a call leaves `value` as it is, whatever it does."""
    return isinstance(value, _CONSTANTS)


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
        for name, leaf in nested.leaves(argument, value)
        if not isinstance(leaf, torch.Tensor) and not is_constant(leaf)
    }


def tensors(call: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors among the arguments of a call, by name; those inside objects are not looked for."""
    return {
        name: leaf
        for argument, value in call.items()
        for name, leaf in nested.leaves(argument, value)
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
            elif nested.is_dataclass(original):
                self._give_attributes(made, original)

    def original(self, made: Any) -> Any:
        """Return the caller's own of a copy; anything else as it is."""
        return self._originals.get(id(made), (None, made))[1]

    def _give_attributes(self, made: Any, original: Any) -> None:
        """Give back the fields of a dataclass, and what was set on it besides; also where it is frozen."""
        fields = [field.name for field in dataclasses.fields(made)]
        for name in {*fields, *getattr(made, "__dict__", ()), *getattr(original, "__dict__", ())}:
            now = self.original(getattr(made, name, _NOTHING))
            if now is getattr(original, name, _NOTHING):
                continue
            if now is _NOTHING:
                object.__delattr__(original, name)
            else:
                object.__setattr__(original, name, now)

    def _copy(self, x: Any) -> Any:
        made = x.clone() if isinstance(x, torch.Tensor) else nested.rebuild(x, self._copy)
        if made is not x:
            self._originals[id(made)] = (made, x)
        return made
