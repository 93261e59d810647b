"""Public names of a package, each imported when it is first used (PEP 562).

A package's stub, `__init__.pyi`, is the one place that names them: type checkers and editors read it, and so does
this module. Own code and not a library, because `gaudi-lab run` imports this package in foreign environments.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def lazy_names(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package.

    Parameters
    ----------
    package, file
        Its `__name__` and `__file__`.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    where = {alias.name: node.module for node in imports for alias in node.names}

    def get(name: str) -> Any:
        if name not in where:
            near = difflib.get_close_matches(name, where, 1)
            meant = f". Did you mean {near[0]}?" if near else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{meant}")
        module = where[name]
        if module == package:  # a package inside
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(str(module)), name)

    return get, lambda: sorted(where), sorted(where)
