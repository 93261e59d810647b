"""Reads programs that were written for one release of Intel's bridge, and says which of its names they use.

Of a release without public sources this is what can be known: a name that Intel's own programs import is there. What
it takes is not. Used by `bridge_surface.py`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

BRIDGE = "habana_frameworks.torch"


def called_names(folder: Path, defined: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """Return the public names of the bridge that the programs in `folder` use, by module.

    Parameters
    ----------
    defined
        The names of each module that the bridge has in any release with sources. A module that none has is left out.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of their strings
                tree = ast.parse(path.read_text(errors="replace"))
        except SyntaxError:
            continue
        for module, name in _uses(tree, defined):
            names = found.setdefault(module, set())
            if name and not name.startswith("_"):
                names.add(name)
    return found


def _uses(tree: ast.Module, defined: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str]]:
    """Return every use of the bridge in a program: a module, and the name in it or nothing."""
    aliases = {"torch.hpu": f"{BRIDGE}.hpu"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in defined:
                    aliases[alias.asname or alias.name] = alias.name
                    yield alias.name, ""
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module in defined:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                # A class may have the name of the module that it stands in: then the class is what is meant.
                if whole in defined and alias.name not in defined[node.module]:
                    aliases[alias.asname or alias.name] = whole
                    yield whole, ""
                else:
                    yield node.module, alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (chain := _chain(node)):
            for alias, module in aliases.items():
                if chain.startswith(alias + "."):
                    yield _follow(module, chain[len(alias) + 1 :].split("."), defined)


def _follow(module: str, parts: list[str], defined: Mapping[str, Collection[str]]) -> tuple[str, str]:
    """Return where an attribute of `module` leads: through modules in it, to a name."""
    first, *rest = parts
    if f"{module}.{first}" in defined and first not in defined[module]:
        return _follow(f"{module}.{first}", rest, defined) if rest else (f"{module}.{first}", "")
    return module, first


def _chain(node: ast.expr) -> str:
    """Return `a.b.c` of such an expression, and nothing of another."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = _chain(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""
