"""Run every check of an operator, and return one table of ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gaudi_lab.custom_ops import examples, torch_internals
from gaudi_lab.custom_ops.promises import BrokenPromise, tensors
from gaudi_lab.custom_ops.ticking import (
    check_device,
    check_gradient,
    check_memory,
    check_promises,
    check_tpc,
    check_values,
)
from gaudi_lab.custom_ops.ticking.case import Case
from gaudi_lab.custom_ops.ticking.crash_trial import crash_of
from gaudi_lab.custom_ops.ticking.ticks import OperatorChecks, Tick
from gaudi_lab.errors import LabError
from gaudi_lab.instruments import operator_ways

if TYPE_CHECKING:
    from gaudi_lab.custom_ops.operator import CustomOp

_REST = "everything else"
_SINGLE: dict[str, Callable[[Case], Tick]] = {
    "float64 reference": check_values.check_reference,
    "the same again": check_values.check_again,
    "strided inputs": check_values.check_strided,
    "empty inputs": check_values.check_empty,
    "bfloat16": check_values.check_bfloat16,
    "gradient": check_gradient.check,
}
_CRASHES = "the body ends the process: {}. It was tried in a copy of this one"


def check(
    operator: CustomOp, inputs: tuple[Any, ...] = (), named: dict[str, Any] | None = None
) -> OperatorChecks:
    """Check an operator with an example of its arguments; see `CustomOp.check`.

    The counts of the operator stay what they were.
    """
    entry = operator.entry
    calls, seconds = entry.calls, entry.seconds
    try:
        by_user = bool(inputs or named or operator.part("example"))
        given = _in_order(operator, inputs, named or {}) if inputs or named else examples.of(operator)
        given = examples.map_tensors(given, lambda x: x.detach().cpu())
        ticks = tuple(_ticks(operator, given, by_user))
    finally:
        entry.calls, entry.seconds = calls, seconds
    return OperatorChecks(
        operator.__name__, operator.schema, ticks, operator_ways.emulated(), _described(given)
    )


def _ticks(operator: CustomOp, inputs: tuple[Any, ...], by_user: bool) -> Iterator[Tick]:
    by_name = [
        argument.name for argument in torch_internals.arguments_of(operator.overload) if argument.kwarg_only
    ]
    if by_name:
        yield Tick(
            "it runs", None, f"the checks give arguments by place, and {', '.join(by_name)} goes by name only"
        )
        return
    crash = crash_of(lambda: Case(operator, inputs)) if operator.entry.on_host else ""
    try:
        if crash:
            raise LabError(_CRASHES.format(crash))
        case = Case(operator, inputs)
    except BrokenPromise as error:
        yield Tick("it runs", True)
        yield Tick(error.tick, False, error.for_notebook())
        yield Tick(_REST, None, "this comes first")
        return
    except Exception as error:
        made = (
            "" if by_user else ". Its arguments were made from the types; a function example returns others"
        )
        yield Tick("it runs", False, Case.where(_Unrun(operator), error) + made)
        yield Tick(_REST, None, "this comes first")
        return
    yield Tick("it runs", True)
    yield from _tried(case, "opcheck", check_promises.check)
    for name, check in _SINGLE.items():
        yield from _tried(case, name, _as_several(check))
    yield from _tried(case, "NaN-filled padding", check_memory.check)
    yield from _tried(case, "TPC-C on the simulator", check_tpc.check)
    yield from check_device.check(case)


def _as_several(check: Callable[[Case], Tick]) -> Callable[[Case], Iterator[Tick]]:
    return lambda case: iter([check(case)])


def _tried(case: Case, name: str, check: Callable[[Case], Iterator[Tick]]) -> Iterator[Tick]:
    """Yield what a check finds; a cross if it raises, or would end the process."""
    crash = crash_of(lambda: list(check(case))) if case.on_host else ""
    if crash:
        yield Tick(name, False, _CRASHES.format(crash))
        return
    try:
        yield from check(case)
    except Exception as error:
        yield Tick(name, False, case.where(error))


class _Unrun(Case):
    """A case of which nothing is known yet, to say where it failed."""

    def __init__(self, operator: CustomOp) -> None:
        self.operator = operator


def _in_order(operator: CustomOp, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    arguments = torch_internals.arguments_of(operator.overload)[len(inputs) :]
    return (*inputs, *[named.get(argument.name, argument.default_value) for argument in arguments])


def _described(inputs: tuple[Any, ...]) -> str:
    return ", ".join(
        " ".join(f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in tensors(x)) or repr(x)
        for x in inputs
    )
