"""Does something as soon as a module is loaded, so that it need not be loaded for that.

`torch._dynamo` takes as long to import as PyTorch itself, and most processes never compile anything with it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import ClassVar


def when_loaded(name: str, then: Callable[[], None]) -> Callable[[], None]:
    """Call `then` once a module has been loaded: now if it is there, else at the end of its import.

    Parameters
    ----------
    name
        The module.
    then
        What to do. What it raises ends the import that it is called from.

    Returns
    -------
    callable
        Forgets about it, if the module has not come yet.
    """
    if name in sys.modules:
        importlib.import_module(name)  # another thread may still be at it
        then()
        return lambda: None
    waiting = _Finder.waiting.setdefault(name, [])
    waiting.append(then)
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)

    def forget() -> None:
        if then in waiting:
            waiting.remove(then)

    return forget


class _Finder:
    """Finds a module as the other finders do, and has its loader tell when it is done."""

    waiting: ClassVar[dict[str, list[Callable[[], None]]]] = {}

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in cls.waiting:
            return None
        others = (finder for finder in list(sys.meta_path) if finder is not cls)
        spec = next((found for finder in others if (found := finder.find_spec(name, path, target))), None)
        if spec is not None and spec.loader is not None:
            _tell_when_done(spec.loader, name)
        return spec


def _tell_when_done(loader: object, name: str) -> None:
    execute = loader.exec_module  # type: ignore[attr-defined]

    def exec_module(module: ModuleType) -> None:
        execute(module)
        for then in _Finder.waiting.pop(name, ()):
            then()
        if not _Finder.waiting and _Finder in sys.meta_path:
            sys.meta_path.remove(_Finder)

    loader.exec_module = exec_module  # type: ignore[attr-defined]
