"""Which module compiles again, and for which inputs."""

from __future__ import annotations

import csv
import functools
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree

from ...hpu.caching import input_hash
from ...hpu.metrics import metric_localcontext
from ..internal import is_lazy
from .dynamicity import const_shape_dataloader, data_dynamicity

__all__ = ["const_shape_dataloader", "data_dynamicity", "detect_recompilation_auto_model"]


@dataclass(eq=False)
class _Call:
    """One call of one module: which input and output, and how many graphs it compiled."""

    module: str
    inputs: int
    shapes: str
    outputs: int
    compiled: int


def detect_recompilation_auto_model(
    model: torch.nn.Module, mdlname: str = "Net", waittime: float = 1, csv_out: str = "out"
) -> torch.nn.Module:
    """Watch every submodule of `model` for graphs that compile again, in lazy mode; the model is changed in place.

    Each call ends in a step, which takes `waittime` seconds twice. Two methods come to the model:
    `analyse_dynamicity()` prints which modules compiled again and writes ``<csv_out>_1.csv`` and
    ``<csv_out>_2.csv``; `raw_logs()` returns the calls. There is no way back.

    Raises
    ------
    AssertionError
        Several processes work together, or the process is in eager mode.
    """
    assert not (torch.distributed.is_available() and torch.distributed.is_initialized()), (
        "detect_recompilation_auto_model does not support distributed runs"
    )
    assert is_lazy(), "detect_recompilation_auto_model is supported in lazy mode only"
    calls: list[_Call] = []
    for name, module in model.named_modules(prefix=mdlname):
        vars(module)["forward"] = _watch(name, module.forward, calls, waittime)
    vars(model)["analyse_dynamicity"] = functools.partial(_analyse, calls, csv_out)
    vars(model)["raw_logs"] = lambda: list(calls)
    return model


def _watch(name: str, forward: Callable[..., Any], calls: list[_Call], waittime: float) -> Callable[..., Any]:
    from ... import core

    @functools.wraps(forward)
    def watched(*args: Any, **kwargs: Any) -> Any:
        core.mark_step()
        time.sleep(waittime)
        with metric_localcontext("graph_compilation") as compilation:
            outputs = forward(*args, **kwargs)
            core.mark_step()
            time.sleep(waittime)
        compiled = dict(compilation.stats())["TotalNumber"]
        calls.append(
            _Call(name, input_hash((args, kwargs)), _shapes((args, kwargs)), input_hash(outputs), compiled)
        )
        return outputs

    return watched


def _shapes(x: Any) -> str:
    return " ".join(str(tuple(y.shape)) for y in pytree.tree_leaves(x) if isinstance(y, torch.Tensor))


def _analyse(calls: list[_Call], csv_out: str) -> None:
    by_module: dict[str, list[_Call]] = defaultdict(list)
    for call in calls:
        by_module[call.module].append(call)
    # A module whose inputs repeat and that compiles all the same is dynamic within.
    summary = [
        (
            name,
            len(of_module),
            len({call.inputs for call in of_module}),
            len({call.outputs for call in of_module}),
            sum(call.compiled for call in of_module),
            any(call.compiled for call in of_module if call.inputs in _seen_before(of_module, call)),
        )
        for name, of_module in by_module.items()
    ]
    header = ("module", "calls", "input shapes", "output shapes", "compilations", "dynamic within")
    _show(header, summary)
    _write(f"{csv_out}_1.csv", header, summary)
    detail = [(call.module, call.shapes, call.compiled) for call in calls]
    _write(f"{csv_out}_2.csv", ("module", "input shapes", "compilations"), detail)


def _seen_before(calls: list[_Call], call: _Call) -> set[int]:
    return {earlier.inputs for earlier in calls[: calls.index(call)]}


def _show(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    table = [header, *[tuple(map(str, row)) for row in rows]]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n")


def _write(path: str, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
