"""Finds the emulated `habana_frameworks`, last of all finders: a real one always wins."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType

_EMULATOR = os.path.realpath(os.path.dirname(os.path.dirname(__file__)))


class EmulatedBridgeFinder:
    """A meta path finder for one package: `habana_frameworks`."""

    @staticmethod
    def find_spec(
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG004
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the emulated package's spec when nobody before had one."""
        if name != "habana_frameworks":
            return None
        return importlib.machinery.PathFinder.find_spec(name, [_EMULATOR], target)


def install() -> None:
    """Put the finder at the end of `sys.meta_path`, once."""
    if EmulatedBridgeFinder not in sys.meta_path:
        sys.meta_path.append(EmulatedBridgeFinder)


def finds_emulated() -> bool:
    """Return True if `import habana_frameworks` finds the emulated package, and no real one. Imports nothing."""
    # The emulated one is behind the finder here, or linked into the path of a script that `gaudi-lab run` started.
    spec = importlib.machinery.PathFinder.find_spec("habana_frameworks")
    return spec is None or os.path.realpath(str(spec.origin)).startswith(_EMULATOR + os.sep)
