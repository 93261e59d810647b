"""Measure what one call costs at growing sizes, ways in turns, and print it as JSON.

Run: python benchmarks/growth/curves.py batch|length|graph [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", PT_HPU_LAZY_MODE="1")
# 50,000 operators are half of what is kept by default: no program of a smaller size is to be forgotten for them.
os.environ.setdefault("GAUDI_LAB_TRIE_CAPACITY", "1000000")
sys.path.insert(0, str(Path(__file__).parent.parent))
warnings.simplefilter("ignore")

import gaudi_lab.emulator

gaudi_lab.emulator.install()

import habana_frameworks.torch  # noqa: F401 - the device
import torch
from overhead import program
from peers.cases import CASES
from peers.contenders import Contender, contenders, on_the_device
from torch import nn

from growth import AXES

MODELS = ("CPU eager", "hpu eager", "hpu lazy", "HPU graph", "HPU graph, openvino", "OpenVINO")
GRAPHS = ("CPU eager", "hpu eager", "hpu lazy", "HPU graph")
SIZES = {
    "batch": (1, 2, 4, 8, 16, 32),
    "length": (8, 16, 32, 64, 128, 256),
    "graph": (100, 500, 2000, 10000, 50000),
}
QUICK_SIZES = {"batch": (1, 4, 16), "length": (16, 64), "graph": (100, 1000, 10000)}


class Chain(nn.Module):
    """So many small operators, one after the other."""

    def __init__(self, operators: int) -> None:
        super().__init__()
        self.operators = operators

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run them."""
        return program(x, self.operators)


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("axis", choices=AXES)
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rounds = 5 if options.quick else 15
    sizes = (QUICK_SIZES if options.quick else SIZES)[options.axis]
    found = {size: _measure(options.axis, size, rounds) for size in sizes}
    print(json.dumps({"axis": options.axis, "sizes": found}))


def _measure(axis: str, size: int, rounds: int) -> Mapping[str, Any]:
    """Return the seconds of a call of each way, in rounds in which they take turns.

    Where only operators are counted it is CPU time of the thread: other work on the machine is none of theirs.
    """
    clock = time.thread_time if axis == "graph" else time.perf_counter
    module, inputs = _make(axis, size)
    module = module.eval().requires_grad_(False)
    chosen = [way for way in contenders() if way.name in (GRAPHS if axis == "graph" else MODELS)]
    runs = [(way, _prepare(way, module, inputs)) for way in chosen]
    times: dict[str, list[float]] = {way.name: [] for way, run in runs if run}
    for number in range(rounds):
        for way, run in runs if number % 2 else runs[::-1]:
            if run is None:
                continue
            way.enter()
            started = clock()
            run()
            times[way.name].append(clock() - started)
    return times


def _make(axis: str, size: int) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    if axis == "graph":
        return Chain(size), (torch.randn(8, 8) / 8,)  # what the chain multiplies stays finite
    module, _ = CASES["minilm1"].make()
    ids = torch.randint(1000, 2000, (size, 32) if axis == "batch" else (1, size))
    return module, (ids, torch.ones_like(ids))


def _prepare(way: Contender, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Callable[[], Any] | None:
    """Return a way's run, warm; None if it is not installed."""
    try:
        way.enter()
        given = on_the_device(module, inputs, False) if way.process else (module, inputs)
        run = way.make(*given)
        for _ in range(3):
            run()
    except ImportError:
        return None
    return run


if __name__ == "__main__":
    main()
