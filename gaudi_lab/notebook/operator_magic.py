"""`%%gaudi_op`: an operator from a cell, with the table of its checks below."""

from __future__ import annotations

import re
from types import FunctionType
from typing import TYPE_CHECKING

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments

from gaudi_lab.custom_ops.definition import BELOW_THE_MAGIC
from gaudi_lab.errors import LabError
from gaudi_lab.notebook.usage import HELP, explain_refusals, read_arguments

if TYPE_CHECKING:
    from gaudi_lab.custom_ops.ticking.ticks import OperatorChecks

_PYTHON_BELOW = re.compile(r"^[ \t]*//[ \t]*python[ \t]*$", re.MULTILINE)


@magics_class
class OperatorMagics(Magics):
    """The magic of the user's own operators."""

    @no_var_expand
    @line_cell_magic
    @explain_refusals
    @magic_arguments()
    @argument("-h", "--help", **HELP)
    @argument("name", help="What to call it; the cell has a function of that name.")
    @argument(
        "--cpp",
        action="store_true",
        help="The body is C++; below a line // python follow the other functions.",
    )
    @argument(
        "--tpc", action="store_true", help="TPC-C; below a line // python follow the body and the others."
    )
    @argument(
        "--mutates", action="append", default=[], metavar="ARGUMENT", help="An argument that it writes into."
    )
    @argument("--unchecked", action="store_true", help="Do not run the checks.")
    def gaudi_op(self, line: str, cell: str | None = None) -> OperatorChecks | None:
        """Make an operator of your own from a cell, and check it.

        The cell holds a function of that name, with types for its arguments and its result. Functions named shape,
        backward, setup_context, reference and example are taken for what they say. To run the cell again replaces
        the operator. Without a cell, an operator that is there already is checked again.

        In Python: gaudi_lab.custom_op(function)
        """
        # It needs torch, and to import that can load the bridge and so decide the mode.
        from gaudi_lab.custom_ops import define

        arguments = read_arguments(self.gaudi_op, line)
        name = arguments.name
        if cell is None:
            return define.find(name).check()
        self._require_free(name)
        other, python, first_line = (
            _parted(cell) if arguments.cpp or arguments.tpc else ("", cell, BELOW_THE_MAGIC)
        )
        try:
            operator = define.from_cell(
                name,
                python,
                self.shell.user_ns,
                cpp=other if arguments.cpp else "",
                tpc=other if arguments.tpc else "",
                mutates=tuple(arguments.mutates),
                first_line=first_line,
            )
        except SyntaxError as error:
            raise UsageError(_explained(error, name)) from None
        self.shell.user_ns[name] = operator
        return None if arguments.unchecked else operator.check()

    def _require_free(self, name: str) -> None:
        from gaudi_lab.custom_ops.operator import CustomOp

        before = self.shell.user_ns.get(name)
        if before is not None and not isinstance(before, (CustomOp, FunctionType)):
            raise LabError(
                f"{name} is the name of a {type(before).__name__} here, which would be lost.",
                python=f"del {name}",
            )


def _parted(cell: str) -> tuple[str, str, int]:
    """Return what is above the line that parts a cell, what is below, and the number of the first line there."""
    found = _PYTHON_BELOW.search(cell)
    if found is None:
        return cell, "", BELOW_THE_MAGIC
    above = cell[: found.start()]
    return above, cell[found.end() + 1 :], BELOW_THE_MAGIC + above.count("\n") + 1


def _explained(error: SyntaxError, name: str) -> str:
    where = f"line {error.lineno}: {error.msg}" if error.lineno else str(error.msg)
    text = f"\n    {error.text.rstrip()}" if error.text else ""
    return f"The cell of the operator {name} is not Python. {where}{text}\nRun: %gaudi_op -h"
