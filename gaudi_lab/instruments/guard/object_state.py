"""What hangs on an object, read before and after a call: which tensors, which numbers, and what a call changed.

A graph holds the device's work only. What a call changes in Python, such as a cache that gets new tensors or a
counter that is one higher, happens at the capture and never at a replay.
"""

from __future__ import annotations

import array
import enum
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import nn

from gaudi_lab.instruments.guard.call_arguments import is_constant

# Objects of these packages do their own bookkeeping, which no result depends on.
_NOT_LOOKED_INTO = {"gaudi_lab", "torch", "logging", "threading", "weakref", "tqdm", "accelerate", "asyncio"}
# What the workbench or torch puts on a module to take its calls.
_NOT_READ = {"_compiled_call_impl", "forward", "clear_cache", "clear_inputs"}
# Where a module keeps what is shown under its own name.
_UNNAMED = {"_parameters", "_buffers", "_modules"}
_DEEPEST = 12
_MOST = 100_000

Path = tuple[str, ...]


class Kind(enum.Enum):
    """What a call did to one place."""

    FILLED = "filled"
    """There was nothing or None, False or an empty container: most often a first use, which does not come again."""
    REPLACED = "replaced"
    """A tensor gave way to another one."""
    CHANGED = "changed"
    """Another value in Python: a number, a text, a longer list."""


@dataclass(frozen=True)
class StateChange:
    """One place that a call has changed.

    Attributes
    ----------
    name
        Where, such as "cache.layers.0.keys".
    kind
        How.
    before, after
        The values; None where there was none.
    """

    name: str
    kind: Kind
    before: Any
    after: Any


class State:
    """Everything that hangs on some objects at one moment. Keeps it alive.

    Parameters
    ----------
    roots
        The objects by name: modules, caches, anything.

    Attributes
    ----------
    places
        Each place that was read: what holds it, its key there, and its value.
    """

    def __init__(self, roots: Mapping[str, Any]) -> None:
        self.places: list[tuple[Any, Any, Any]] = []
        self._roots = dict(roots)
        self._leaves: dict[Path, Any] = {}
        # And how many places a holder has, for `intact`.
        self._sizes: list[tuple[Any, int]] = []
        # And what was read of what is changed in place.
        self._read_whole: list[tuple[Any, Any]] = []
        self._seen: dict[int, Any] = {}
        for name, root in self._roots.items():
            self._read((name,) if name else (), root)

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors, by the name of their place."""
        return {_name(path): x for path, x in self._leaves.items() if isinstance(x, torch.Tensor)}

    @property
    def values(self) -> dict[str, Any]:
        """Everything that is read as one value, by the name of its place."""
        return {_name(path): x for path, x in self._leaves.items()}

    def changes(self) -> list[StateChange]:
        """Return what has changed since, in the order in which it is found."""
        now = State(self._roots)
        found = []
        for path, after in now._leaves.items():
            before = self._leaves.get(path)
            if path not in self._leaves:
                if after is not None:
                    found.append(StateChange(_name(path), Kind.FILLED, None, after))
            elif not _same(before, after):
                found.append(StateChange(_name(path), _kind(before, after), before, after))
        gone = [path for path in self._leaves if path not in now._leaves]
        return found + [
            StateChange(_name(path), Kind.CHANGED, self._leaves[path], None)
            for path in gone
            if self._leaves[path] is not None and self._leaves[path] is not False
        ]

    def intact(self) -> bool:
        """Whether every place still holds what it held. Made to be fast: it is asked before each replay."""
        for holder, size in self._sizes:
            if len(holder) != size:
                return False
        for value, before in self._read_whole:
            if _read_whole(value) != before:
                return False
        try:
            for holder, key, value in self.places:
                now = holder[key]
                if now is not value and not _same(value, now):
                    return False
        except (KeyError, IndexError):
            return False
        return True

    def _read(self, path: Path, value: Any) -> None:
        inner = _places_in(value, len(path))
        if inner is None:
            self._leaves[path] = read = _read_whole(value)
            if read is not value:
                self._read_whole.append((value, read))
            return
        if id(value) in self._seen or len(self._leaves) > _MOST:
            return
        self._seen[id(value)] = value
        holder, keys = inner
        self._sizes.append((holder, len(holder)))
        for key in keys:
            item = holder[key]
            self.places.append((holder, key, item))
            deeper = path if isinstance(value, nn.Module) and key in _UNNAMED else (*path, str(key))
            self._read(deeper, item)


def structure(value: Any, depth: int = 0) -> Any:
    """Return of which classes `value` and what hangs on it are: the same for two caches made alike.

    Parameters
    ----------
    value
        An object. Tensors and constants on it do not count.
    depth
        How far `value` itself is from where one began.
    """
    if isinstance(value, torch.Tensor) or is_constant(value) or depth > _DEEPEST // 2:
        return None
    inner = _places_in(value, depth)
    if inner is None:
        return type(value)
    holder, keys = inner
    return type(value), frozenset(structure(holder[key], depth + 1) for key in keys)


class _Slots:
    """The slots of an object that has no dictionary, read and set like one."""

    def __init__(self, of: Any, names: list[str]) -> None:
        self._of, self._names = of, names

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __getitem__(self, name: str) -> Any:
        return getattr(self._of, name, None)

    def __setitem__(self, name: str, value: Any) -> None:
        object.__setattr__(self._of, name, value)


def _places_in(value: Any, depth: int) -> tuple[Any, list[Any]] | None:
    """Return what holds the places in `value`, and their keys; None for what is read as one value."""
    if isinstance(value, torch.Tensor) or is_constant(value) or depth > _DEEPEST:
        return None
    if isinstance(value, (list, tuple, deque)):
        return value, list(range(len(value)))
    if isinstance(value, dict):
        return value, list(value)
    if isinstance(value, nn.Module):
        return vars(value), [name for name in vars(value) if name not in _NOT_READ]
    if type(value).__module__.partition(".")[0] in _NOT_LOOKED_INTO:
        return None
    held = getattr(value, "__dict__", None)
    if isinstance(held, dict):
        return held, list(held)
    names = [name for kind in type(value).__mro__ for name in _slot_names(kind)]
    return (_Slots(value, names), names) if names else None


def _read_whole(value: Any) -> Any:
    """Return what tells a value from itself after it was changed in place."""
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, (numpy.ndarray, array.array)):
        return value.tobytes()
    return value


def _slot_names(kind: type) -> list[str]:
    names = vars(kind).get("__slots__", ())
    return [names] if isinstance(names, str) else [name for name in names if not name.startswith("__")]


def _same(before: Any, after: Any) -> bool:
    if before is after:
        return True
    if isinstance(before, torch.Tensor) or type(before) is not type(after) or not is_constant(before):
        return False
    return bool(before == after) or (before != before and after != after)


def _kind(before: Any, after: Any) -> Kind:
    if isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor):
        return Kind.REPLACED
    return Kind.FILLED if before is None or before is False else Kind.CHANGED


def _name(path: Path) -> str:
    return ".".join(path)
