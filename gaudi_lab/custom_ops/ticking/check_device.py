"""The device: whether it has what the body uses, and whether every way to run it comes to the same."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from gaudi_lab.custom_ops import closeness
from gaudi_lab.custom_ops.dispatcher import NAMESPACE
from gaudi_lab.custom_ops.ticking.case import Case
from gaudi_lab.custom_ops.ticking.ticks import Tick
from gaudi_lab.instruments import operator_ways
from gaudi_lab.instruments.operator_ways import Way

_KERNELS = "kernels of the device"


def check(case: Case) -> Iterator[Tick]:
    """Yield whether the device has a kernel for all that the body uses, and one tick for each way to run it."""
    yield _guarded(case, _KERNELS, lambda: _check_kernels(case))
    for way in operator_ways.ways():
        if way.why_not:
            yield Tick(way.name, None, way.why_not)
        elif way.on_copies and case.operator.entry.mutates:
            yield Tick(way.name, None, "it writes into copies of the arguments, and nobody sees that")
        elif case.random:
            yield Tick(way.name, None, "it draws random numbers, which the device draws otherwise")
        else:
            yield _guarded(case, way.name, functools.partial(_check_way, case, way))


def _guarded(case: Case, name: str, check: Callable[[], Tick]) -> Tick:
    try:
        return check()
    except Exception as error:
        return Tick(name, False, case.where(error))


def _check_kernels(case: Case) -> Tick:
    if case.on_host:
        return Tick(
            _KERNELS,
            None,
            "a body in C++ runs on the host. To build it for the device: gaudi-lab new-op "
            + case.operator.__name__,
        )
    lacking = [
        found
        for found in operator_ways.without_kernel(case.body, case.inputs)
        if not found.name.startswith(f"{NAMESPACE}::")
    ]
    if not lacking:
        return Tick(_KERNELS, True)
    told = [f"{found.name} (line {found.line.number})" if found.line else found.name for found in lacking]
    return Tick(
        _KERNELS, False, f"the device has no kernel for {', '.join(told)}: on the host, and in no HPU graph"
    )


def _check_way(case: Case, way: Way) -> Tick:
    whole = closeness.compare(way.run(case.operator, case.inputs), case.expected)
    if not whole.agrees:
        return Tick(way.name, False, whole.text)
    if way.opaque or case.on_host:
        return Tick(way.name, True, whole.text)
    # As on a device that has no kernel for the operator: its body runs there, operator by operator.
    apart = closeness.compare(way.run(case.body, case.inputs), case.expected)
    return Tick(
        way.name, apart.agrees, whole.text if apart.agrees else f"its operators one by one: {apart.text}"
    )
