"""Objects that every process has of its own: they are not written, and whoever refers to one finds that of its process.

The namespace itself, the global variables of modules, the IPython shell, the standard streams, what the caller names,
and everything that a module keeps as a global variable of a class that it defines itself, such as
`dataclasses.MISSING` or the generator behind `random.random`.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import types
from collections.abc import Mapping
from typing import Any

_STREAMS = ("stdin", "stdout", "stderr")
_PLAIN = frozenset(
    {str, int, float, bool, complex, bytes, bytearray, type(None), list, tuple, set, frozenset, type}
    | {types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType, types.CellType}
)

Key = tuple[Any, ...]


class Landmarks:
    """What travels by its name only.

    Parameters
    ----------
    namespace
        The namespace of the notebook.
    named
        Further objects, by a key that is the same in both processes.
    """

    def __init__(self, namespace: dict[str, Any], named: Mapping[str, Any] | None = None) -> None:
        self.namespace = namespace
        self._named = dict(named or {})
        self._keys: dict[int, Key] = {id(thing): ("named", name) for name, thing in self._named.items()}
        self._keys[id(namespace)] = ("namespace",)
        self._keys[id(builtins.__dict__)] = ("globals", "builtins")
        for stream in _STREAMS:
            self._keys.setdefault(id(getattr(sys, stream)), ("stream", stream))
        shell = _shell()
        if shell is not None:
            self._keys.setdefault(id(shell), ("shell",))
        self._kept: dict[type, dict[int, Key]] = {}

    def key_of(self, thing: Any) -> Key | None:
        """Return what stands for `thing`; None if it is an object like any other."""
        key = self._keys.get(id(thing))
        if key is not None:
            return key
        kind = type(thing)
        if kind is dict:
            return _globals_key(thing)
        if kind in _PLAIN:
            return None
        kept = self._kept.get(kind)
        if kept is None:
            kept = self._kept[kind] = _kept_by_its_module(kind)
        return kept.get(id(thing)) if kept else None

    def object_of(self, key: Key) -> Any:
        """Return the object of this process that `key` stands for.

        Raises
        ------
        LookupError
            This process has none.
        """
        match key:
            case ("namespace",):
                return self.namespace
            case ("globals", str(name)):
                return vars(importlib.import_module(name))
            case ("kept", str(module), str(name)):
                return getattr(importlib.import_module(module), name)
            case ("stream", str(name)):
                return getattr(sys, name)
            case ("shell",):
                return self._own(key, _shell())
            case ("named", str(name)) if name in self._named:
                return self._named[name]
        raise LookupError(f"this process has no {key[-1]}")

    def _own(self, key: Key, thing: Any) -> Any:
        """Return `thing`, or where this process has none, something that stands for it."""
        if thing is None:
            thing = NotHere(key)
            self._named[f"absent {key}"] = thing  # kept alive, so that its address means it alone
            self._keys[id(thing)] = key
        return thing


class NotHere:
    """Stands for what this process does not have, such as the IPython shell where a snapshot is only checked."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"there is no {self._key[-1]} in this process, and so no {name} of it")


def _globals_key(variables: dict[Any, Any]) -> Key | None:
    """Return the key of a module's global variables; None for another dictionary."""
    name = variables.get("__name__")
    module = sys.modules.get(name) if type(name) is str else None
    return (
        ("globals", name) if module is not None and getattr(module, "__dict__", None) is variables else None
    )


def _shell() -> Any:
    interactive = sys.modules.get("IPython.core.interactiveshell")
    kind = getattr(interactive, "InteractiveShell", None)
    return kind.instance() if kind is not None and kind.initialized() else None


def _kept_by_its_module(kind: type) -> dict[int, Key]:
    """Return the objects of `kind` that the module which defines it has as global variables, by their address."""
    name = getattr(kind, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    if not isinstance(module, types.ModuleType) or name == "__main__" or module.__spec__ is None:
        return {}
    return {
        id(thing): ("kept", name, variable)
        for variable, thing in list(vars(module).items())
        if type(thing) is kind
    }
