"""How the checks of an operator are laid out: one table of ticks."""

from __future__ import annotations

from gaudi_lab.custom_ops.ticking.ticks import OperatorChecks
from gaudi_lab.render import layout, units


@layout.line.register
def _(checks: OperatorChecks) -> str:
    wrong = sum(tick.passed is False for tick in checks.ticks)
    open_ = sum(tick.passed is None for tick in checks.ticks)
    return layout.join(
        checks.operator,
        units.count(sum(tick.passed is True for tick in checks.ticks), "tick"),
        units.count(wrong, "cross", "crosses") if wrong else "",
        f"{open_} not checked" if open_ else "",
        layout.EMULATED if checks.emulated else "",
    )


@layout.text.register
def _(checks: OperatorChecks) -> str:
    rows = [(tick.mark, tick.name, tick.detail) for tick in checks.ticks]
    table = layout.table(("", checks.schema, checks.inputs), rows, left={0, 1, 2})
    return "\n".join([*table, str(checks)])


@layout.html.register
def _(checks: OperatorChecks) -> str:
    return layout.rendered("operator_checks.html.j2", checks=checks, line=str(checks))
