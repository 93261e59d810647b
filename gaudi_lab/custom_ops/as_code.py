"""An operator as the lines of a script, which define it where there is no notebook."""

from __future__ import annotations

import ast
import sys
from types import FunctionType
from typing import Any

from gaudi_lab.custom_ops.definition import ModuleName, read_function
from gaudi_lab.custom_ops.operator import CustomOp, same_value
from gaudi_lab.errors import LabError


def as_code(operator: CustomOp) -> str:
    """Return the lines; see `CustomOp.as_code`."""
    definition = operator.definition
    if definition is None:
        raise LabError(f"The source of {operator.__name__} is not known, so that it cannot be written down.")
    names = _NamesAround(operator.__name__)
    for name, value in definition.names.items():
        names.add(name, value)
    around = "".join(f"{line}\n" for line in names.lines)
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


class _NamesAround:
    """What makes the names around an operator.

    Attributes
    ----------
    lines
        A text for each name, below those of the names that it needs.
    """

    def __init__(self, operator: str) -> None:
        self.lines: list[str] = []
        self._operator = operator
        self._values: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:
        """Write down a name, and what its value needs."""
        if name in self._values:
            if not same_value(value, self._values[name]):
                raise self._refusal(f"two values of the name {name}, which")
            return
        self._values[name] = value
        self.lines.append(self._written(name, value))

    def _written(self, name: str, value: Any) -> str:
        if isinstance(value, ModuleName):
            plain = "." not in value.name and value.name == name
            return f"import {name}" if plain else f"import {value.name} as {name}"
        if (found := _home(value)) is not None:
            return f"from {found} import {value.__name__} as {name}"
        if isinstance(value, FunctionType) and (of := read_function(value, name)) is not None:
            for needed, x in of.names.items():
                self.add(needed, x)
            return of.source
        text = repr(value)
        try:
            if ast.literal_eval(text) == value:
                return f"{name} = {text}"
        except (ValueError, SyntaxError):
            pass
        raise self._refusal(f"{name}, a {type(value).__name__}, which")

    def _refusal(self, what: str) -> LabError:
        return LabError(
            f"The operator {self._operator} uses {what} cannot be written down. Make it an argument of the operator, "
            "or define it in the cell.",
            magic=f"%%gaudi_op {self._operator}",
        )


def _home(value: Any) -> str | None:
    """Return the module that a script can import `value` from, by the name that it has; None if there is none."""
    module, called = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(called, str) or module == "__main__":
        return None
    return module if getattr(sys.modules.get(module), called, None) is value else None
