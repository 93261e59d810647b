"""The C++ compiler of this machine, as Inductor looks for one."""

from __future__ import annotations

import os
import shutil


def find() -> str | None:
    """Return its path: of the one that `CXX` names, else of g++ or clang++. None if there is none."""
    names = filter(None, (os.environ.get("CXX"), "g++", "clang++"))
    return next((path for name in names if (path := shutil.which(name))), None)
