"""Define an operator: `gaudi_lab.custom_op`, and what `%%gaudi_op` does with its cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gaudi_lab.custom_ops import definition as definitions
from gaudi_lab.custom_ops import stand_ins
from gaudi_lab.custom_ops.definition import Definition
from gaudi_lab.custom_ops.operator import CustomOp, ListedOperator
from gaudi_lab.errors import LabValueError

_operators: dict[str, CustomOp] = {}


def custom_op(
    body: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    shape: Callable[..., Any] | None = None,
    backward: Callable[..., Any] | None = None,
    setup_context: Callable[..., Any] | None = None,
    reference: Callable[..., Any] | None = None,
    example: Callable[..., Any] | None = None,
    mutates: tuple[str, ...] = (),
) -> Any:
    """Make an operator of your own from a function. In a notebook: `%%gaudi_op NAME`.

    It runs on the CPU and on the device, in lazy, eager and compile mode and in HPU graphs. To define it again, under
    the same name, replaces it everywhere.

    Parameters
    ----------
    body
        A function of tensors and numbers with types for its arguments and its result, and no memory of its own.
    name
        What to call it; by default as the function.
    shape
        Takes the same arguments and returns empty tensors like the results. By default `body` runs on tensors that
        have shapes and no values.
    backward, setup_context
        As for `torch.library.register_autograd`.
    reference
        The same in float64, to check `body` against.
    example
        Returns a tuple of arguments to check it with. By default they are made from the types.
    mutates
        Names of the arguments that `body` writes into.

    Returns
    -------
    CustomOp
        To be called as `body`. `check()` makes the table of ticks, `stand_in(model, for_=nn.GELU)` puts it to use.

    Raises
    ------
    LabValueError
        A type is missing, or the name is none. The operator stays what it was.

    Examples
    --------
    >>> @gaudi_lab.custom_op(reference=lambda x, scale: torch.nn.functional.gelu(x) * scale)
    ... def scaled_gelu(x: torch.Tensor, scale: float) -> torch.Tensor:
    ...     return torch.nn.functional.gelu(x) * scale
    """
    given = {
        "shape": shape,
        "backward": backward,
        "setup_context": setup_context,
        "reference": reference,
        "example": example,
    }
    parts = {part: function for part, function in given.items() if function is not None}

    def make(body: Callable[..., Any]) -> CustomOp:
        whole = {"body": body, **parts}
        called = name or body.__name__
        return _define(
            called, whole, definitions.from_functions(called, whole, mutates=mutates), mutates=mutates
        )

    return make if body is None else make(body)


def from_cell(name: str, cell: str, namespace: Mapping[str, Any], **options: Any) -> CustomOp:
    """Make an operator from the text of a cell; see `gaudi_lab.custom_ops.definition.from_cell`."""
    return from_definition(definitions.from_cell(name, cell, namespace, **options))


def from_definition(definition: Definition) -> CustomOp:
    """Make an operator from its definition, as when it is loaded again."""
    parts = definition.make()
    if definition.cpp:
        from gaudi_lab.custom_ops.builds.cpp_body import build

        parts["body"] = build(definition.name, definition.cpp, first_line=definitions.BELOW_THE_MAGIC)
    return _define(
        definition.name, parts, definition, mutates=definition.mutates, on_host=bool(definition.cpp)
    )


def find(name: str) -> CustomOp:
    """Return the operator of a name.

    Raises
    ------
    LabValueError
        There is none.
    """
    if name not in _operators:
        there = f"there are {', '.join(sorted(_operators))}" if _operators else "there is none yet"
        raise LabValueError(f"There is no operator {name}; {there}.", magic=f"%%gaudi_op {name}")
    return _operators[name]


def listing() -> tuple[ListedOperator, ...]:
    """Return every operator of the user's in this process, as plain data."""
    return tuple(
        [
            ListedOperator(
                operator.__name__,
                operator.schema,
                _languages(operator),
                operator.calls,
                operator.seconds,
                stand_ins.of(operator),
            )
            for operator in _operators.values()
        ]
    )


def _define(
    name: str,
    parts: dict[str, Callable[..., Any]],
    definition: Definition | None,
    **options: Any,
) -> CustomOp:
    if "setup_context" in parts and "backward" not in parts:
        raise LabValueError(
            f"The operator {name} has a setup_context and no backward, which would need it.",
            python="def backward(ctx, grad):",
        )
    operator = _operators.get(name) or CustomOp(name)
    changed = operator.define(parts, definition, **options)
    _operators[name] = operator
    if changed:
        stand_ins.renew(operator)
    return operator


def _languages(operator: CustomOp) -> tuple[str, ...]:
    made_from = operator.definition
    if made_from is None:
        return ("Python",)
    return ("C++" if made_from.cpp else "Python", *(("TPC-C",) if made_from.tpc else ()))
