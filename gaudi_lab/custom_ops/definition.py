"""What an operator is made from: its source, the names that the source needs, and which function is which part."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import linecache
import symtable
import textwrap
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from gaudi_lab.errors import LabValueError

PARTS = ("shape", "backward", "setup_context", "reference", "example")
"""What may stand beside the body of an operator, found by these names."""

BELOW_THE_MAGIC = 2
"""The line of a cell that begins below its magic."""


@dataclass(frozen=True)
class ModuleName:
    """A module that a source uses. Modules are not pickled, but imported again."""

    name: str


@dataclass(frozen=True)
class Definition:
    """All that an operator is made from. It can be pickled, and made into functions again anywhere.

    Attributes
    ----------
    name
        The name of the operator.
    source
        Python: the functions, as they were written.
    functions
        Which function is which part, such as ``{"body": "scaled_gelu", "reference": "exact"}``.
    names
        What the source uses and does not define itself, as it was when the operator was defined.
    cpp
        The body in C++; empty where the body is Python.
    tpc
        The kernel in TPC-C; empty where there is none.
    mutates
        Names of the arguments that the body writes into.
    first_line
        The line of the cell that `source` begins with.
    """

    name: str
    source: str
    functions: Mapping[str, str]
    names: Mapping[str, Any] = field(default_factory=dict, compare=False)
    cpp: str = ""
    tpc: str = ""
    mutates: tuple[str, ...] = ()
    first_line: int = 1

    @property
    def file(self) -> str:
        """The name of the source, in tracebacks."""
        return f"<gaudi_op {self.name}>"

    def make(self) -> dict[str, Callable[..., Any]]:
        """Run the source and return its parts: functions by what they are."""
        scope = self._run()
        return {part: scope[name] for part, name in self.functions.items()}

    def _run(self) -> dict[str, Any]:
        text = "\n" * (self.first_line - 1) + self.source
        # For tracebacks, which show the line, and for `inspect`. No time of change: nobody looks for a file.
        linecache.cache[self.file] = (len(text), None, text.splitlines(keepends=True), self.file)
        scope: dict[str, Any] = {"__name__": f"gaudi_op_{self.name}", **_usual_names()}
        scope.update((name, _resolved(value)) for name, value in self.names.items())
        exec(compile(text, self.file, "exec", dont_inherit=True), scope)
        return scope


def from_cell(
    name: str, cell: str, namespace: Mapping[str, Any], *, first_line: int = 1, **options: Any
) -> Definition:
    """Return the definition that a cell holds.

    Parameters
    ----------
    name
        The name of the operator, and of the function that is its body.
    cell
        Python. Functions named `shape`, `backward`, `setup_context`, `reference` and `example` are its other parts.
    namespace
        Where names come from that the cell does not define. Those that it uses are kept as they are now.
    first_line
        The line that `cell` begins with.
    **options
        `cpp`, `tpc` and `mutates` of `Definition`.

    Raises
    ------
    LabValueError
        `name` is no name of Python's, or the cell has no function of that name.
    SyntaxError
        The cell is not Python.
    """
    check_name(name)
    file = f"<gaudi_op {name}>"
    padded = "\n" * (first_line - 1) + cell
    linecache.cache[file] = (len(padded), None, padded.splitlines(keepends=True), file)
    tree = ast.parse(padded, file)
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if name not in defined and not options.get("cpp"):
        there = f"it has {', '.join(sorted(defined))}" if defined else "it has none"
        raise LabValueError(
            f"The cell has no function {name}, which would be the body of the operator; {there}.",
            python=f"def {name}(x: torch.Tensor) -> torch.Tensor:",
        )
    functions = {part: part for part in PARTS if part in defined}
    if name in defined:
        functions["body"] = name
    return Definition(
        name,
        cell,
        functions,
        _captured(cell, namespace),
        first_line=first_line,
        **options,
    )


def from_functions(
    name: str, parts: Mapping[str, Callable[..., Any]], *, mutates: tuple[str, ...] = ()
) -> Definition | None:
    """Return the definition that functions of a program hold; None where their source cannot be had."""
    check_name(name)
    sources, functions, names = [], {}, {}
    for part, function in parts.items():
        functions[part] = name if part == "body" else part
        found = read_function(function, functions[part])
        if found is None:
            return None
        sources.append(found.source)
        names.update(found.names)
    return Definition(name, "\n\n\n".join(sources) + "\n", functions, names, mutates=mutates)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of an operator."""
    if not name.isidentifier() or "__" in name:  # two underscores part a name from the number of its form
        raise LabValueError(
            f"An operator cannot be called {name!r}: its name is a name of Python without __.",
            magic="%%gaudi_op scaled_gelu",
        )


class FunctionSource(NamedTuple):
    """The source of a function, and what that uses of the names around it."""

    source: str
    names: dict[str, Any]


def read_function(function: Callable[..., Any], called: str) -> FunctionSource | None:
    """Return the source of a function under another name; None if it cannot be had.

    Decorators belong to it, but for those that the function has not been through yet: `custom_op`, and what is above.
    """
    bare = inspect.unwrap(function)
    if not isinstance(bare, FunctionType):
        return None
    try:
        text = textwrap.dedent(inspect.getsource(bare))
        tree = ast.parse(text)
    except (OSError, TypeError, SyntaxError):
        return None
    arguments = inspect.getfullargspec(bare).args
    found = [node for node in ast.walk(tree) if _is_of(node, bare.__name__, arguments)]
    if len(found) != 1:
        return None
    node = found[0]
    around = {**bare.__globals__, **_closed_over(bare)}
    decorators = [] if function is bare else _applied(getattr(node, "decorator_list", []), around)
    if function is not bare and not _account_for(decorators, function, around):
        return None
    if isinstance(node, ast.Lambda):
        source = f"{called} = {ast.unparse(node)}"
    else:
        assert isinstance(node, ast.FunctionDef)
        as_written = tree.body == [node] and node.name == called and node.decorator_list == decorators
        node.name, node.decorator_list = called, decorators
        source = text.rstrip() if as_written else ast.unparse(node)
    return FunctionSource(source, _captured(source, around))


def _applied(decorators: list[ast.expr], around: Mapping[str, Any]) -> list[ast.expr]:
    """Return the decorators of a function that it has been through when `custom_op` gets it."""

    def is_ours(part: ast.AST) -> bool:
        if isinstance(part, ast.Attribute):
            return part.attr == "custom_op"
        return isinstance(part, ast.Name) and getattr(around.get(part.id), "__name__", "") == "custom_op"

    ours = [n for n, decorator in enumerate(decorators) if any(map(is_ours, ast.walk(decorator)))]
    return decorators[ours[-1] + 1 :] if ours else decorators


def _account_for(decorators: list[ast.expr], function: Any, around: Mapping[str, Any]) -> bool:
    """Whether these decorators, as far as it shows, have wrapped a function as it is wrapped, and can do so again."""
    depth = 0
    while hasattr(function, "__wrapped__"):
        function, depth = function.__wrapped__, depth + 1
    used = {part.id for x in decorators for part in ast.walk(x) if isinstance(part, ast.Name)}
    return depth <= len(decorators) and used <= around.keys() | vars(builtins).keys()


def _is_of(node: ast.AST, name: str, arguments: list[str]) -> bool:
    if isinstance(node, ast.Lambda):
        return name == "<lambda>" and [x.arg for x in node.args.args] == arguments
    return isinstance(node, ast.FunctionDef) and node.name == name


def _closed_over(function: FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # of a name that has no value yet, such as the function's own
            found[name] = cell.cell_contents
    return found


def _captured(source: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `source` uses of the names around it."""
    whole = symtable.symtable(source, "<operator>", "exec")
    own = {
        symbol.get_name() for symbol in whole.get_symbols() if symbol.is_assigned() or symbol.is_imported()
    }
    outside = sorted(_global_names(whole) - own - set(vars(builtins)))
    return {name: _kept(namespace[name]) for name in outside if name in namespace}


def _global_names(table: symtable.SymbolTable) -> set[str]:
    top = table.get_type() == "module"
    found = {x.get_name() for x in table.get_symbols() if x.is_referenced() and (top or x.is_global())}
    return found.union(*[_global_names(child) for child in table.get_children()])


def _kept(value: Any) -> Any:
    return ModuleName(value.__name__) if isinstance(value, ModuleType) else value


def _resolved(value: Any) -> Any:
    return importlib.import_module(value.name) if isinstance(value, ModuleName) else value


def _usual_names() -> dict[str, Any]:
    """Return what every operator needs, so that a cell need not import it."""
    import torch

    return {"torch": torch, "Tensor": torch.Tensor}
