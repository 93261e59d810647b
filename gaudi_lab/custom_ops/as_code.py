"""An operator as the lines of a script, which define it where there is no notebook."""

from __future__ import annotations

import ast
import inspect
import textwrap
from types import FunctionType
from typing import TYPE_CHECKING, Any

from gaudi_lab.custom_ops.definition import ModuleName
from gaudi_lab.errors import LabError

if TYPE_CHECKING:
    from gaudi_lab.custom_ops.operator import CustomOp


def as_code(operator: CustomOp) -> str:
    """Return the lines; see `CustomOp.as_code`."""
    definition = operator.definition
    if definition is None:
        raise LabError(f"The source of {operator.__name__} is not known, so that it cannot be written down.")
    around = "".join(f"{_written(operator, name, value)}\n" for name, value in definition.names.items())
    options = {"cpp": definition.cpp, "tpc": definition.tpc, "mutates": definition.mutates}
    given = "".join(f", {name}={value!r}" for name, value in options.items() if value)
    # As text: a script has functions of its own, which may be called shape or backward too.
    return (
        "from gaudi_lab.custom_ops import define\n\n"
        f"_AROUND_{definition.name} = {{}}\n"
        f"exec({_literal(around)}, _AROUND_{definition.name})\n"
        f"{definition.name} = define.from_cell(\n"
        f"    {definition.name!r}, {_literal(definition.source)}, _AROUND_{definition.name}{given}\n)\n"
    )


def _literal(text: str) -> str:
    """Return a text as a literal that reads like the source it is, where it can."""
    if "'''" in text or "\\" in text or text.endswith("'"):
        return repr(text)
    return f"'''\\\n{text}'''"


def _written(operator: CustomOp, name: str, value: Any) -> str:
    if isinstance(value, ModuleName):
        return (
            f"import {value.name} as {name}" if "." in value.name or value.name != name else f"import {name}"
        )
    if isinstance(value, FunctionType) and not value.__closure__:
        try:
            return textwrap.dedent(inspect.getsource(value))
        except (OSError, TypeError):
            pass
    module, called = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if isinstance(module, str) and module != "__main__" and called == getattr(value, "__qualname__", ""):
        return f"from {module} import {called} as {name}"
    text = repr(value)
    try:
        if ast.literal_eval(text) == value:
            return f"{name} = {text}"
    except (ValueError, SyntaxError):
        pass
    raise LabError(
        f"The operator {operator.__name__} uses {name}, a {type(value).__name__}, which cannot be written down. Make "
        "it an argument of the operator, or define it in the cell.",
        magic=f"%%gaudi_op {operator.__name__}",
    )
