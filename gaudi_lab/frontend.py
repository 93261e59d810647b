"""What the user sits in front of: a notebook, which shows HTML and pictures, or a terminal."""

from __future__ import annotations

import sys
from typing import Any


def in_notebook() -> bool:
    """Whether this runs in a kernel, whose output can show pictures and replace them."""
    return getattr(running_shell(), "kernel", None) is not None


def cell_number(file: str) -> int | None:
    """Return the number of the cell that Python knows as `file`; None if it is a file, or not known."""
    compiler = getattr(running_shell(), "compile", None)
    if compiler is None:
        return None
    named = compiler.format_code_name(file)  # such as ("Cell", "In[7]")
    number = named[1].removeprefix("In[").removesuffix("]") if named and named[0] == "Cell" else ""
    return int(number) if number.isdigit() else None


def name_line(file: str, number: int) -> str:
    """Return what to call a line: "cell 3, line 10" of a notebook, "file:line" elsewhere."""
    cell = cell_number(file)
    return f"{file}:{number}" if cell is None else f"cell {cell}, line {number}"


def running_cell() -> int | None:
    """Return the number of the cell that runs now; None outside of IPython."""
    number = getattr(running_shell(), "execution_count", None)
    return number if isinstance(number, int) else None


def running_shell() -> Any:
    """Return IPython's shell; None where nobody has started one."""
    # Not imported: where nobody has done so, there is no notebook.
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()
