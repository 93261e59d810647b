"""Reasons to compile again, planted one at a time, and what `gaudi_lab.why()` says of each.

python tests/conformance/runner/planted_reason_rows.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "measure"))

from conformance_table import Row
from planted_reasons import CASES, Case, observe

MODES = ("lazy", "graphs", "compile")


def rows() -> tuple[list[Row], str]:
    """Plant every reason; return a line for each mode, and the table of what was said."""
    said = [(case, *_say(case)) for case in CASES]
    counts = [
        Row(
            "planted reasons",
            mode,
            sum(right for case, right, _ in said if case.mode == mode),
            sum(case.mode == mode for case in CASES),
        )
        for mode in MODES
    ]
    lines = [
        f"{case.number:>2}  {case.name:<26}  {case.mode:<7}  {'' if right else 'WRONG: '}{text}"
        for case, right, text in sorted(said, key=lambda x: (x[0].number, x[0].name))
    ]
    return counts, "\n".join(["no  planted                     mode     said", *lines])


def _say(case: Case) -> tuple[bool, str]:
    why = observe(case)
    causes = [cost.cause for cost in why.costs]
    shadowed = [graph for graph in why.graphs if graph.shadow]
    found = {(x.what, x.kind) for cause in causes for x in cause.differences}
    right = case.kind in {cause.kind for cause in causes} if case.kind else len(causes) == 1
    right = right and case.expected <= found and len(shadowed) == case.shadowed
    right = right and any(case.remedy in x.remedy for x in (shadowed or causes))
    said = [f"{cause.text} → {cause.remedy or 'nothing to change'}" for cause in causes]
    said += [f"{unused.why} → {unused.remedy}" for unused in why.unused if shadowed]
    return right, "; ".join(said)


if __name__ == "__main__":
    counted, table = rows()
    print(table)
    sys.exit(any(row.passed < row.total for row in counted))
