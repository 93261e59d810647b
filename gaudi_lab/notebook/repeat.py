"""Runs the code of a cell repeatedly in the notebook's namespace, watched by a warm-up recorder."""

from __future__ import annotations

import ast
from types import CodeType
from typing import TYPE_CHECKING, Any

from gaudi_lab.measure import recorder
from gaudi_lab.measure.timeline import Timeline
from gaudi_lab.workbench import lab

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_NAME = "<gaudi_warmup>"


class Interrupted(Exception):
    """Ends the cell after an interrupt: cells queued behind it do not run, and nothing more is printed."""

    def _render_traceback_(self) -> list[str]:
        return []


def repeat(shell: InteractiveShell, source: str, *, n: int, until_steady: bool = False) -> Timeline:
    """Run code repeatedly and return what it cost.

    Parameters
    ----------
    shell
        Whose namespace the code runs in, and stays in.
    source
        The code, as IPython takes it.
    n, until_steady
        As in `gaudi_lab.warmup`.

    Raises
    ------
    Interrupted
        After an interrupt, once the iterations before it are shown.
    """
    once, again = parts(shell.transform_cell(source))
    watching = recorder.Recorder(lab.current().watch())
    run(once, shell.user_ns)
    try:
        return recorder.run(lambda: run(again, shell.user_ns), watching, n=n, until_steady=until_steady)
    except KeyboardInterrupt:
        shell.display_pub.publish(watching.timeline._repr_mimebundle_())
        raise Interrupted from None


def parts(source: str) -> tuple[CodeType, CodeType]:
    """Part code into what is run once and what is run again and again.

    Returns
    -------
    tuple of code
        If it ends in an expression: all before it, and the expression. Otherwise nothing, and all of it.
    """
    tree = ast.parse(source, _NAME)
    ends_in_expression = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
    cut = len(tree.body) - 1 if ends_in_expression else 0
    return _compile(tree.body[:cut]), _compile(tree.body[cut:])


def run(code: CodeType, user_ns: dict[str, Any]) -> None:
    """Execute code in the notebook's namespace."""
    exec(code, user_ns)


def _compile(body: list[ast.stmt]) -> CodeType:
    return compile(ast.Module(body, type_ignores=[]), _NAME, "exec")
