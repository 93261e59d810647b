"""Which names a cell binds, which it reads, and whether it writes files: found in its source, nothing is run."""

from __future__ import annotations

import ast
import symtable
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_CERTAIN = (
    ast.Assign,
    ast.AnnAssign,
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)
_CREATING = frozenset("wax+")


@dataclass(frozen=True)
class Bindings:
    """What a cell does with names of the notebook.

    Attributes
    ----------
    binds
        Names that it binds or deletes, in any way that can be seen: those inside of ``if`` and ``try`` too, and those
        that a function in it declares ``global``.
    reads
        Names that it reads before it has certainly bound them itself.
    opens_for_writing
        Whether it opens a file in a mode that writes, or in one that cannot be seen.
    """

    binds: frozenset[str]
    reads: frozenset[str]
    opens_for_writing: bool


def bindings_of(source: str) -> Bindings | None:
    """Return what a cell does with names; None if it cannot be read as Python."""
    try:
        tree = ast.parse(_python(source))
        bound: set[str] = set()
        certain: set[str] = set()
        reads: set[str] = set()
        for statement in tree.body:
            binds, read = _of_statement(statement)
            reads |= read - certain
            bound |= binds
            if isinstance(statement, _CERTAIN):
                certain |= binds
    except (SyntaxError, ValueError):
        return None
    return Bindings(frozenset(bound), frozenset(reads), any(map(_writes, ast.walk(tree))))


def submodules_imported(source: str) -> set[str]:
    """Return the modules that a cell imports without a name of their own: `import os.path` binds `os`."""
    try:
        tree = ast.parse(_python(source))
    except (SyntaxError, ValueError):
        return set()
    imported = [alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return {alias.name for alias in imported if "." in alias.name and alias.asname is None}


def _python(source: str) -> str:
    """Return a cell with its magics as Python, where IPython is there to say what they are."""
    if "IPython" not in sys.modules:
        return source
    from IPython.core.inputtransformer2 import TransformerManager

    return str(TransformerManager().transform_cell(source))


def _of_statement(statement: ast.stmt) -> tuple[set[str], set[str]]:
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    binds = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
    }
    reads = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    for child in _tables_within(table):
        for symbol in child.get_symbols():
            if symbol.is_global():
                (binds if symbol.is_assigned() else reads).add(symbol.get_name())
    # To a symbol table, what `x += 1` does is binding only.
    reads |= {
        node.target.id
        for node in ast.walk(statement)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    return binds, reads


def _tables_within(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _tables_within(child)


def _writes(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in ("open", "fdopen", "NamedTemporaryFile", "TemporaryFile", "memmap", "File", "ZipFile"):
        return False
    # The mode of a method `open`, as a path has, is its first argument.
    at = (
        0
        if name == "open" and isinstance(node.func, ast.Attribute) and not _is_module(node.func.value)
        else 1
    )
    given = [keyword.value for keyword in node.keywords if keyword.arg == "mode"] or node.args[at : at + 1]
    if not given:
        return "Temporary" in name or name == "memmap"
    mode = given[0]
    return not (
        isinstance(mode, ast.Constant) and isinstance(mode.value, str) and not _CREATING & {*mode.value}
    )


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("io", "codecs", "gzip", "bz2", "lzma", "os", "builtins")
