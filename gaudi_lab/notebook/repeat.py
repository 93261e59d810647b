"""Runs the code of a cell repeatedly in the notebook's namespace, watched by a warm-up recorder."""

from __future__ import annotations

import ast
import functools
from types import CodeType
from typing import TYPE_CHECKING, Any

from gaudi_lab import frontend, origin
from gaudi_lab.measure import recorder
from gaudi_lab.measure.timeline import Timeline
from gaudi_lab.workbench import lab

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Interrupted(Exception):
    """Ends the cell after an interrupt: cells queued behind it do not run, and nothing more is printed."""

    def _render_traceback_(self) -> list[str]:
        return []


def repeat(
    shell: InteractiveShell, source: str, *, n: int, until_steady: bool = False, first_line: int = 1
) -> Timeline:
    """Run code repeatedly and return what it cost.

    Parameters
    ----------
    shell
        Whose namespace the code runs in, and stays in.
    source
        The code, as IPython takes it.
    n, until_steady
        As in `gaudi_lab.warmup`.
    first_line
        Which line of its cell the code begins at.

    Raises
    ------
    Interrupted
        After an interrupt, once the iterations before it are shown.
    """
    once, again = parts(*_known_to_ipython(shell, source, first_line))
    watching = recorder.Recorder(lab.current().watch())
    run(once, shell.user_ns)
    try:
        return recorder.run(
            functools.partial(run, again, shell.user_ns), watching, n=n, until_steady=until_steady
        )
    except KeyboardInterrupt:
        shell.display_pub.publish(watching.timeline._repr_mimebundle_())
        raise Interrupted from None


def _known_to_ipython(shell: InteractiveShell, source: str, first_line: int) -> tuple[str, str]:
    """Return the code as Python takes it, and a name by which IPython finds its lines and the number of its cell."""
    code = "\n" * (first_line - 1) + shell.transform_cell(source)
    cell = origin.caller()
    number = frontend.cell_number(cell.file) if cell is not None else None
    return code, shell.compile.cache(code, number=shell.execution_count if number is None else number)


def parts(source: str, name: str = "<gaudi_warmup>") -> tuple[CodeType, CodeType]:
    """Part code into what is run once and what is run again and again.

    Parameters
    ----------
    source
        The code.
    name
        The name of its file, for tracebacks.

    Returns
    -------
    tuple of code
        If it ends in an expression: all before it, and the expression. Otherwise nothing, and all of it.
    """
    tree = ast.parse(source, name)
    ends_in_expression = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
    cut = len(tree.body) - 1 if ends_in_expression else 0
    return _compile(tree.body[:cut], name), _compile(tree.body[cut:], name)


def run(code: CodeType, user_ns: dict[str, Any]) -> None:
    """Execute code in the notebook's namespace."""
    exec(code, user_ns)


def _compile(body: list[ast.stmt], name: str) -> CodeType:
    return compile(ast.Module(body, type_ignores=[]), name, "exec")
