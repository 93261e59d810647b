"""The kernel in TPC-C: whether it compiles, and on the simulator comes to what the Python body does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from gaudi_lab.custom_ops import closeness
from gaudi_lab.custom_ops.builds import tpc_kernel, tpc_tools
from gaudi_lab.custom_ops.definition import BELOW_THE_MAGIC
from gaudi_lab.custom_ops.promises import tensors
from gaudi_lab.custom_ops.ticking.case import Case
from gaudi_lab.custom_ops.ticking.ticks import Tick
from gaudi_lab.errors import LabError


def check(case: Case) -> Iterator[Tick]:
    """Yield one tick for the compiler and one for the simulator; none for an operator without such a kernel."""
    made_from = case.operator.definition
    if made_from is None or not made_from.tpc:
        return
    compiled, simulated = "TPC-C compiles", "TPC-C on the simulator"
    try:
        tools = tpc_tools.find()
    except LabError as error:
        yield Tick(compiled, None, error.for_notebook())
        yield Tick(simulated, None, "Intel's TPC tools are not here")
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            elf = tpc_kernel.compile_kernel(
                tools, made_from.name, made_from.tpc, Path(folder), first_line=BELOW_THE_MAGIC
            )
        except LabError as error:
            yield Tick(compiled, False, error.why.strip())
            yield Tick(simulated, None, "it does not compile")
            return
        yield Tick(compiled, True, "for gaudi2")
        numbers = [x for x in case.inputs if not isinstance(x, (torch.Tensor, list, tuple, type(None)))]
        results = list(tensors(case.expected.results))
        found = closeness.compare(
            tuple(tpc_kernel.simulate(tools, elf, list(tensors(case.inputs)), results, numbers)),
            tuple(results),
        )
        yield Tick(simulated, found.agrees, found.text)
