"""Where in a cell a relaunch was asked for: what came before has run, what comes after is for the new process."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from gaudi_lab import origin
from gaudi_lab.errors import LabError

_PACKAGE = "gaudi_lab"


def last_line_run(shell: Any, code: str) -> int:
    """Return the last line of the statement that asks, in the cell that is running.

    Parameters
    ----------
    shell
        The IPython shell.
    code
        The cell, as it was sent.

    Returns
    -------
    int
        Counted from 1 in the cell as Python sees it, which is after IPython's own transformations.

    Raises
    ------
    LabError
        The request is no statement of its own, so that what follows it could not be told from what came before.
    """
    frame, inner = _frame_of_cell(shell)
    body = shell.compile.ast_parse(shell.transform_cell(code)).body
    here = [node for node in body if node.lineno <= frame.f_lineno <= (node.end_lineno or node.lineno)]
    if len(here) != 1:
        raise _refusal("it shares its line with other statements")
    (node,) = here
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        raise _refusal(f"it is inside {_describe(node)}")
    magic = _magic_called(node.value)
    called = shell.find_line_magic(magic) if magic else _function_called(node.value, shell.user_ns)
    if not _is_ours(called):
        raise _refusal(f"it is inside {_describe_call(node.value, magic)}")
    for between in inner:
        if between.f_globals is shell.user_ns or not origin.is_library(between.f_code.co_filename):
            raise _refusal(f"it is inside {between.f_code.co_name}")
    return node.end_lineno or node.lineno


def remaining(tree: ast.Module, last_line: int) -> ast.Module:
    """Take away the statements of a cell up to a line."""
    tree.body = [node for node in tree.body if node.lineno > last_line]
    return tree


def _frame_of_cell(shell: Any) -> tuple[FrameType, list[FrameType]]:
    """Return the frame of the running cell, and those inside of it."""
    frames = list(origin.frames(sys._getframe(1)))  # noqa: SLF001 - the public way walks the sources too
    runs = [number for number, frame in enumerate(frames) if frame.f_code is type(shell).run_code.__code__]
    if not runs or runs[-1] == 0:
        raise _refusal("it was not asked for in the code of a cell")
    number = runs[-1] - 1
    return frames[number], frames[:number]


def _refusal(why: str) -> LabError:
    return LabError(
        f"The process cannot be replaced from here: {why}. What follows in the cell has to run in the new process, "
        "so this must be a statement of its own, on a line of its own, outside of loops, functions and blocks."
    )


def _magic_called(call: ast.Call) -> str:
    """Return the name of the line magic that a call is; empty if it is none."""
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr == "run_line_magic" and call.args:
        first = call.args[0]
        return str(first.value) if isinstance(first, ast.Constant) else ""
    return ""


def _function_called(call: ast.Call, namespace: Mapping[str, Any]) -> Any:
    """Return what a call names, by names and attributes only; None if it is computed."""
    names: list[str] = []
    node: ast.expr = call.func
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    found = namespace.get(node.id)
    for name in reversed(names):
        found = getattr(found, name, None)
    return found


def _is_ours(called: Any) -> bool:
    if called is None:
        return False
    function = inspect.unwrap(getattr(called, "__func__", called))
    return str(getattr(function, "__module__", "")).partition(".")[0] == _PACKAGE


_BLOCKS = {
    ast.For: "a loop",
    ast.AsyncFor: "a loop",
    ast.While: "a loop",
    ast.With: "a with block",
    ast.AsyncWith: "a with block",
    ast.Try: "a try block",
    ast.If: "an if block",
    ast.Match: "a match block",
    ast.Assign: "an assignment",
    ast.AnnAssign: "an assignment",
    ast.AugAssign: "an assignment",
    ast.FunctionDef: "a function",
    ast.AsyncFunctionDef: "a function",
    ast.ClassDef: "a class",
}


def _describe(node: ast.stmt) -> str:
    return _BLOCKS.get(type(node), "an expression")


def _describe_call(call: ast.Call, magic: str) -> str:
    if magic:
        return f"%{magic}"
    if isinstance(call.func, ast.Attribute) and call.func.attr == "run_cell_magic" and call.args:
        return f"%%{ast.unparse(call.args[0]).strip(chr(39))}"
    return f"{ast.unparse(call.func)}(...)"
