"""Reasons to compile again, planted one at a time, and what `gaudi_lab.why()` says of each.

python tests/conformance/runner/planted_reason_rows.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("GAUDI_LAB_COMPILER", "replay")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "measure"))

from conformance_table import Row
from planted_reasons import CASES, Case, observe, observe_uncomputed

MODES = ("lazy", "graphs", "compile")


def rows() -> tuple[list[Row], str]:
    """Plant every reason; return a line for each mode, and the table of what was said."""
    said = [_Said(case.number, case.name, case.mode, *_say(case)) for case in CASES]
    told = observe_uncomputed()
    right = len(told) == 1 and "scale" in told[0] and "planted_reasons.py" in told[0]
    said.append(_Said(16, "kept from compile-only", "lazy", right, "; ".join(told)))
    counts = [
        Row(
            "planted reasons",
            mode,
            sum(x.right for x in said if x.mode == mode),
            sum(x.mode == mode for x in said),
        )
        for mode in MODES
    ]
    lines = [
        f"{x.number:>2}  {x.name:<26}  {x.mode:<7}  {'' if x.right else 'WRONG: '}{x.text}"
        for x in sorted(said, key=lambda x: (x.number, x.name))
    ]
    return counts, "\n".join(["no  planted                     mode     said", *lines, _NOT_HERE])


class _Said(NamedTuple):
    number: int
    name: str
    mode: str
    right: bool
    text: str


_NOT_HERE = """\
not here: 8, a constant that depends on the rank: there is one device; 11, layers that a library names anew: it takes
two versions of the library; 12, an unbacked symbol: the device's backend never sees one"""


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
