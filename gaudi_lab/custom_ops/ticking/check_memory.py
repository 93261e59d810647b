"""What lies around the tensors: not read, and not written."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch

from gaudi_lab.custom_ops import closeness, examples
from gaudi_lab.custom_ops.ticking.case import Case
from gaudi_lab.custom_ops.ticking.guarded_memory import Guarded, GuardedResults
from gaudi_lab.custom_ops.ticking.ticks import Tick


def check(case: Case) -> Iterator[Tick]:
    """Yield whether what lies around the tensors matters to the result, and whether it is still there afterwards."""
    changed: list[str] = []
    written: list[str] = []
    for fill, words in (("nan", "NaN"), ("large", "large numbers")):
        guarded = Guarded(fill)
        given = examples.map_tensors(case.inputs, functools.partial(guarded.place, what="an input"))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            with GuardedResults(guarded):
                results = case.body(*given)
        found = closeness.compare(results, case.expected.results)
        if not found.agrees:
            changed.append(
                f"with {words} around the tensors and in memory that is not written yet, {found.text}"
            )
        written += guarded.written()
    yield Tick("NaN-filled padding", not changed, changed[0] if changed else "NaN and large numbers around")
    kinds = " and ".join(dict.fromkeys(written))
    yield Tick("out of bounds", not written, f"something was written beside {kinds}" if written else "")
