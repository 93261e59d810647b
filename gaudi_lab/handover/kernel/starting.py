"""How Python is started for a module of ours: no file beside the notebook stands before one of Python's own."""

from __future__ import annotations

import sys
from collections.abc import Iterable

# Python puts the working directory first, where `random.py` would be Python's own. Last, as IPython has it behind
# them, it still leads to whatever only it has.
_PROGRAM = "import sys; sys.path.sort(key=''.__eq__); from {package} import {name}; {name}.main()"


def python_command(module: str, *arguments: str, options: Iterable[str] = ()) -> list[str]:
    """Return the command that calls `main` of a module.

    Parameters
    ----------
    module
        Its full name.
    arguments
        What it finds in `sys.argv`.
    options
        Python's own.
    """
    package, _, name = module.rpartition(".")
    return [sys.executable, *options, "-c", _PROGRAM.format(package=package, name=name), *arguments]
